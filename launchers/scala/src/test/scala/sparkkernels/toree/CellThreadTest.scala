package sparkkernels.toree

import java.util.concurrent.{CountDownLatch, ExecutionException, TimeUnit}

import org.scalatest.funsuite.AnyFunSuite

import scala.concurrent.duration._
import scala.concurrent.{Await, Future}
import scala.util.{Failure, Success, Try}

class CellThreadTest extends AnyFunSuite {
  private val Hang = 30.seconds

  private def ended[T](cell: Future[T]): Try[T] = Await.ready(cell, Hang).value.get match {
    case Failure(boxed: ExecutionException) => Failure(boxed.getCause)
    case other                              => other
  }

  /** Interrupt a cell once it is at work, and give how it ended. */
  private def interrupted(cells: CellThread)(body: => Unit): Try[Unit] = {
    val atWork = new CountDownLatch(1)
    val cell = cells.add { atWork.countDown(); body }
    assert(atWork.await(Hang.toSeconds, TimeUnit.SECONDS))
    cells.interrupt()
    ended(cell)
  }

  test("cells run one after another on the same thread, which is prepared for each") {
    var prepared = 0
    val cells = new CellThread(() => prepared += 1)
    val threads = Seq.fill(3)(cells.add(Thread.currentThread)).map(ended)
    assert(threads.distinct.size == 1)
    assert(prepared == 3)
    assert(!cells.isExecutingTask && !cells.wasInterrupted)
    cells.stop()
  }

  test("what a cell throws is how it ends, and the next one runs") {
    val cells = new CellThread(() => ())
    assert(ended(cells.add(throw new OutOfMemoryError)).failed.get.isInstanceOf[OutOfMemoryError])
    assert(ended(cells.add(42)) == Success(42))
    cells.stop()
  }

  test("a cell that sleeps is interrupted") {
    val cells = new CellThread(() => ())
    assert(interrupted(cells)(Thread.sleep(600000)).failed.get.isInstanceOf[InterruptedException])
    assert(cells.wasInterrupted)
    assert(ended(cells.add(42)) == Success(42))
    assert(!cells.wasInterrupted)
    cells.stop()
  }

  test("a cell that computes is stopped") {
    val cells = new CellThread(() => ())
    var n = 0L
    assert(interrupted(cells)(while (true) n += 1).failed.get.isInstanceOf[ThreadDeath])
    assert(ended(cells.add(42)) == Success(42))
    cells.stop()
  }

  test("a cell that catches even that is left alone, and the next one runs beside it") {
    val cells = new CellThread(() => ())
    @volatile var enough = false
    val left = interrupted(cells) {
      while (!enough) try while (!enough) () catch { case _: Throwable => () }
    }
    assert(left.failed.get.isInstanceOf[CellThread.Interrupted])
    assert(ended(cells.add(42)) == Success(42))
    enough = true
    cells.stop()
  }

  test("what a cell has run is part of it") {
    val cells = new CellThread(() => ())
    assert(ended(cells.add(Await.result(cells.add(42), Hang))) == Success(42))
    cells.stop()
  }

  test("an interrupt when nothing runs does nothing") {
    val cells = new CellThread(() => ())
    cells.interrupt()
    assert(ended(cells.add(Thread.sleep(1))) == Success(()))
    cells.stop()
  }

  test("the end of the kernel ends the running cell") {
    val cells = new CellThread(() => ())
    val atWork = new CountDownLatch(1)
    val cell = cells.add { atWork.countDown(); while (true) () }
    assert(atWork.await(Hang.toSeconds, TimeUnit.SECONDS))
    cells.stop()
    assert(ended(cell).isInstanceOf[Failure[_]])
  }
}
