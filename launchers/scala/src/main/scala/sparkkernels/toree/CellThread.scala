package sparkkernels.toree

import java.util.concurrent.{ExecutorService, Executors}

import org.apache.toree.utils.TaskManager

import scala.concurrent.{Future, Promise}
import scala.util.Try

/** Runs one cell after another on the same thread, and ends them whatever they do.
  *
  * @param onBegin called on the thread before each cell
  */
class CellThread(onBegin: () => Unit) extends TaskManager {
  private var worker = newWorker()
  private var running: Option[Cell] = None
  @volatile private var last: Option[Cell] = None

  override def start(): Unit = ()

  /** Run a cell after those that wait already; what a cell itself has run, by a magic, is part of it. */
  override def add[T <: Any](body: => T): Future[T] =
    if (synchronized(running).exists(_.thread eq Thread.currentThread)) Future.fromTry(Try(body))
    else enqueue(body)

  private def enqueue[T](body: => T): Future[T] = {
    val promise = Promise[T]()
    val cell = new Cell(() => promise.tryFailure(new Cell.Interrupted))
    synchronized(worker).execute { () =>
      try {
        begin(cell)
        promise.trySuccess(body)
      } catch { case error: Throwable => promise.tryFailure(error) }
      finally end(cell)
    }
    promise.future
  }

  override def isExecutingTask: Boolean = synchronized(running.nonEmpty)

  /** Whether the last cell that began was interrupted. */
  def wasInterrupted: Boolean = last.exists(_.interrupted)

  /** What the code of the last cell that began has thrown. */
  def thrown: Option[Throwable] = last.flatMap(_.thrown)

  /** Have the running cell end, or else leave it alone.
    *
    * @param cancel what else is to end; called when the cell counts as interrupted already, so that what it makes
    *               of that does too
    */
  def interrupt(cancel: => Unit = ()): Unit = {
    val cell = synchronized(running)
    cell.foreach(_.tell())
    cancel
    cell.filterNot(_.interrupt()).foreach(leaveAlone)
  }

  /** End the running cell, and run no more. */
  override def stop(): Unit = {
    interrupt()
    worker.shutdownNow()
  }

  private def begin(cell: Cell): Unit = {
    synchronized {
      cell.begin()
      running = Some(cell)
      last = running
    }
    onBegin()
  }

  private def end(cell: Cell): Unit = {
    synchronized(if (running.contains(cell)) running = None)
    cell.end()
  }

  private def leaveAlone(cell: Cell): Unit = synchronized {
    if (running.contains(cell)) {
      running = None
      worker.shutdown()
      worker = newWorker()
      cell.giveUp()
    }
  }

  private def newWorker(): ExecutorService = Executors.newSingleThreadExecutor { (task: Runnable) =>
    val thread = new Thread(TaskManager.DefaultThreadGroup, task, "sparkkernels-cells")
    thread.setDaemon(true)
    thread.setContextClassLoader(getClass.getClassLoader)
    thread
  }
}
