package sparkkernels.toree

import java.net.{InetAddress, ServerSocket}
import java.util.concurrent.{CountDownLatch, TimeUnit}

import org.scalatest.funsuite.AnyFunSuite

import scala.io.Source

class LeashTest extends AnyFunSuite {
  private def listener = new ServerSocket(0, 1, InetAddress.getLoopbackAddress)

  test("the launcher process hears the token, and then what the kernel has to say") {
    val launcher = listener
    val leash = new Leash(launcher.getLocalPort, "token")
    val connection = launcher.accept()
    leash.tell("busy")
    leash.tell("idle")
    leash.close()
    assert(Source.fromInputStream(connection.getInputStream).getLines.toList == List("token", "busy", "idle"))
    launcher.close()
  }

  test("the end of the launcher process is heard, and telling it something does no harm") {
    val launcher = listener
    val leash = new Leash(launcher.getLocalPort, "token")
    val gone = new CountDownLatch(1)
    leash.watch(() => gone.countDown())
    launcher.accept().close()
    assert(gone.await(30, TimeUnit.SECONDS))
    leash.tell("busy")
    leash.close()
    launcher.close()
  }
}
