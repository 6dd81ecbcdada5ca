package sparkkernels.toree

import java.util.concurrent.atomic.AtomicReference
import java.util.concurrent.locks.LockSupport
import java.util.concurrent.{CountDownLatch, TimeUnit}

/** A cell, from its begin on a thread to its end.
  *
  * Only its own code is ever interrupted. What the compiler does before and after it comes to its end by itself,
  * and were it broken off, it would be broken for all later cells.
  *
  * @param giveUp tells all who wait for its end that it was interrupted
  */
private[toree] class Cell(val giveUp: () => Unit) {
  import Cell._

  private val state = new AtomicReference[State](Outside)
  private val ended = new CountDownLatch(1)
  @volatile var thread: Thread = _
  @volatile private var told = false
  @volatile private var error: Option[Throwable] = None

  /** It runs on this thread from now on. */
  def begin(): Unit = {
    thread = Thread.currentThread
    ofThread.set(this)
  }

  /** It has ended. */
  def end(): Unit = {
    ofThread.remove()
    ended.countDown()
  }

  /** Whether somebody wants it to end. */
  def interrupted: Boolean = told

  /** What its own code has thrown. */
  def thrown: Option[Throwable] = error

  /** From now on its own code does not begin any more. */
  def tell(): Unit = told = true

  /** Have its own code end: first it is asked to, then it is stopped; false when it goes on nevertheless. */
  def interrupt(): Boolean = {
    tell()
    if (state.get == Inside) thread.interrupt()
    ends(AskedMs) || !stop() || ends(StoppedMs) || state.get == Outside
  }

  /** Stop its own code; false when that has ended. */
  private def stop(): Boolean = {
    val deadline = System.nanoTime + TimeUnit.MILLISECONDS.toNanos(DelicateMs)
    while (state.get == Inside && isDelicate(thread.getStackTrace) && System.nanoTime < deadline) ends(PollMs)
    val isToStop = state.compareAndSet(Inside, Stopping)
    if (isToStop) stopThread()
    isToStop
  }

  @annotation.nowarn
  private def stopThread(): Unit =
    try thread.stop()
    catch { case _: UnsupportedOperationException => () } // Java 20 and later

  private def run[T](code: => T): T =
    if (!state.compareAndSet(Outside, Inside)) code // of a magic, which is part of the cell's own
    else
      try {
        if (told) throw new Interrupted
        val result = code
        leave()
        result
      } catch {
        case thrown: Throwable =>
          error = Some(thrown)
          if (!isStop(thrown)) leave()
          throw thrown
      } finally {
        if (told) Thread.interrupted() // or what the compiler writes next would be closed under its hands
        state.set(Outside)
      }

  /** Its own code has ended. A thread that is about to be stopped waits for that, as it must not be elsewhere then. */
  private def leave(): Unit =
    if (!state.compareAndSet(Inside, Outside)) while (true) {
      LockSupport.park(this)
      Thread.interrupted()
    }

  private def ends(withinMs: Long): Boolean = ended.await(withinMs, TimeUnit.MILLISECONDS)
}

object Cell {

  /** Milliseconds that a cell's code has to end when it is asked to, and when it is stopped. */
  private val AskedMs, StoppedMs = 200L

  /** Milliseconds that it may be where it is not stopped, and those after which that is looked at again. */
  private val DelicateMs = 10000L
  private val PollMs = 20L

  private val ofThread = new ThreadLocal[Cell]

  /** Run a cell's own code; called by what the compiler makes of each cell. */
  def code[T](body: => T): T = Option(ofThread.get).fold(body)(_.run(body))

  /** The cell was interrupted. */
  class Interrupted extends RuntimeException("The cell was interrupted.")

  private sealed trait State
  private case object Outside extends State
  private case object Inside extends State
  private case object Stopping extends State

  /** Whether the latest that a cell has called must not be stopped: Scala's reflection, of which there is one for
    * all, or the begin of a class, which is of no use any more when it fails.
    */
  private[toree] def isDelicate(frames: Seq[StackTraceElement]): Boolean =
    frames.takeWhile(frame => !CellCompiler.isOfCell(frame)).exists { frame =>
      frame.getMethodName == "<clinit>" || frame.getClassName.startsWith("scala.reflect.")
    }

  private def isStop(thrown: Throwable): Boolean =
    Iterator.iterate(thrown)(_.getCause).takeWhile(_ != null).take(100).exists(_.isInstanceOf[ThreadDeath])
}
