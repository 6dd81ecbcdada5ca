package sparkkernels.toree

import java.io.{IOException, OutputStream}
import java.net.{InetAddress, Socket}
import java.nio.charset.StandardCharsets.UTF_8

/** The connection to the launcher process: a line each way tells something, its end means the kernel's.
  *
  * @param port  where the launcher process listens on loopback
  * @param token the first line, by which it knows this side
  */
class Leash(port: Int, token: String) {
  private val socket = new Socket(InetAddress.getLoopbackAddress, port)
  private val out: OutputStream = socket.getOutputStream

  tell(token)

  /** Say something; nothing happens when nobody is there any more. */
  def tell(line: String): Unit = out.synchronized {
    try {
      out.write(s"$line\n".getBytes(UTF_8))
      out.flush()
    } catch { case _: IOException => () }
  }

  /** Call back, on a thread of its own, when the launcher process is gone. */
  def watch(onEnd: () => Unit): Unit = {
    val thread = new Thread(
      () => {
        try while (socket.getInputStream.read() >= 0) ()
        catch { case _: IOException => () }
        onEnd()
      },
      "sparkkernels-leash"
    )
    thread.setDaemon(true)
    thread.start()
  }

  /** Let go; the launcher process ends. */
  def close(): Unit = socket.close()
}
