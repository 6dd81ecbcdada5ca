package sparkkernels.toree

import java.io.OutputStream

import org.apache.toree.global.ScheduledTaskManager
import org.apache.toree.kernel.protocol.v5.kernel.ActorLoader
import org.apache.toree.kernel.protocol.v5.stream.KernelOutputStream
import org.apache.toree.kernel.protocol.v5.{KMBuilder, KernelMessage}
import org.apache.toree.utils.TaskManager

/** Where all that cells start writes to: to the latest cell; and other threads to where they always did.
  *
  * Threads keep the stream that was there when they were started, those of Spark's pools for good. So it is one
  * for all cells, and lets go of the kernel at its end.
  *
  * @param others where other threads write to
  */
class CellOutput(others: OutputStream) extends OutputStream {
  @volatile private var cell: Option[OutputStream] = None

  /** Show what is written from now on in this cell, or nowhere. */
  def show(cell: Option[OutputStream]): Unit = this.cell = cell

  override def write(byte: Int): Unit = current.foreach(_.write(byte))

  override def flush(): Unit = current.foreach(_.flush())

  private def current: Option[OutputStream] =
    if (Thread.currentThread.getThreadGroup == TaskManager.DefaultThreadGroup) cell else Some(others)
}

/** What one cell writes, as messages to its clients.
  *
  * Toree's, except that blank lines are sent too, and that nobody is told that the cell has ended while its last
  * lines are on their way.
  *
  * @param name `stdout` or `stderr`
  */
class CellStream(actors: ActorLoader, request: KernelMessage, name: String)
    extends KernelOutputStream(
      actors,
      KMBuilder().withParent(request),
      ScheduledTaskManager.instance,
      name,
      sendEmptyOutput = true
    ) {
  private var written = false

  override def write(byte: Int): Unit = {
    super.write(byte)
    synchronized { written = true } // only now, or a flush in between would forget it
  }

  override def flush(): Unit = synchronized {
    if (written) super.flush()
    written = false
  }
}
