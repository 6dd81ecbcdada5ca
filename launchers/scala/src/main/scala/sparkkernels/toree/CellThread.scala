package sparkkernels.toree

import java.util.concurrent.{CountDownLatch, ExecutorService, Executors, TimeUnit}

import org.apache.toree.utils.TaskManager

import scala.concurrent.{Future, Promise}
import scala.util.Try

/** Runs one cell after another on the same thread, and ends them whatever they do.
  *
  * @param onBegin called on the thread before each cell
  */
class CellThread(onBegin: () => Unit) extends TaskManager {
  import CellThread._

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
    val cell = new Cell(() => promise.tryFailure(new Interrupted))
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

  /** Have the running cell end: first it is asked to, then it is forced, then it is left alone. */
  def interrupt(): Unit =
    synchronized(running).foreach { cell =>
      cell.interrupted = true
      cell.thread.interrupt()
      if (!cell.ends(AskedMs)) {
        synchronized(if (running.contains(cell)) force(cell.thread))
        if (!cell.ends(ForcedMs)) synchronized {
          running = None
          worker.shutdown()
          worker = newWorker()
          cell.giveUp()
        }
      }
    }

  /** End the running cell, and run no more. */
  override def stop(): Unit = {
    interrupt()
    worker.shutdownNow()
  }

  private def begin(cell: Cell): Unit = {
    synchronized {
      cell.thread = Thread.currentThread
      running = Some(cell)
      last = running
    }
    onBegin()
  }

  private def end(cell: Cell): Unit = {
    synchronized(if (running.contains(cell)) running = None)
    cell.ended.countDown()
  }

  @annotation.nowarn
  private def force(thread: Thread): Unit = thread.stop()

  private def newWorker(): ExecutorService = Executors.newSingleThreadExecutor { (task: Runnable) =>
    val thread = new Thread(TaskManager.DefaultThreadGroup, task, "sparkkernels-cells")
    thread.setDaemon(true)
    thread.setContextClassLoader(getClass.getClassLoader)
    thread
  }
}

object CellThread {

  /** Milliseconds that a cell has to end when it is interrupted, and when its thread is stopped. */
  private val AskedMs, ForcedMs = 200L

  /** The cell was interrupted. */
  class Interrupted extends RuntimeException("The cell was interrupted.")

  private class Cell(val giveUp: () => Unit) {
    val ended = new CountDownLatch(1)
    @volatile var thread: Thread = _
    @volatile var interrupted = false

    def ends(withinMs: Long): Boolean = ended.await(withinMs, TimeUnit.MILLISECONDS)
  }
}
