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

  /** Interrupt a cell once its own code is at work, and give how it ended. */
  private def interrupted(cells: CellThread)(code: => Unit): Try[Unit] =
    atWork(cells)(work => Cell.code { work(); code })

  /** Interrupt a cell once it says that it is at work, and give how it ended. */
  private def atWork[T](cells: CellThread)(body: (() => Unit) => T): Try[T] = {
    val begun = new CountDownLatch(1)
    val cell = cells.add(body(() => begun.countDown()))
    assert(begun.await(Hang.toSeconds, TimeUnit.SECONDS))
    cells.interrupt()
    ended(cell)
  }

  private def holdsFor(milliseconds: Long): Unit = {
    val end = System.nanoTime + milliseconds.millis.toNanos
    while (System.nanoTime < end) assert(!Thread.currentThread.isInterrupted)
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
    val thrown = new OutOfMemoryError
    assert(ended(cells.add(Cell.code(throw thrown))).failed.get eq thrown)
    assert(cells.thrown.contains(thrown))
    assert(ended(cells.add(Cell.code(42))) == Success(42))
    assert(cells.thrown.isEmpty)
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
    assert(left.failed.get.isInstanceOf[Cell.Interrupted])
    assert(ended(cells.add(42)) == Success(42))
    enough = true
    cells.stop()
  }

  test("a cell whose code has not begun ends when it would, and the compiler is let be") {
    val cells = new CellThread(() => ())
    var compiled, begun = false
    val left = atWork(cells) { work =>
      work()
      holdsFor(700)
      compiled = true
      Cell.code { begun = true }
    }
    assert(left.failed.get.isInstanceOf[Cell.Interrupted])
    assert(compiled && !begun && cells.wasInterrupted)
    cells.stop()
  }

  test("what follows a cell's code is let be") {
    val cells = new CellThread(() => ())
    val left = atWork(cells) { work =>
      try Cell.code { work(); Thread.sleep(600000) }
      catch { case _: InterruptedException => holdsFor(700) }
      "the compiler is well"
    }
    assert(left == Success("the compiler is well"))
    assert(cells.thrown.exists(_.isInstanceOf[InterruptedException]))
    cells.stop()
  }

  test("a cell that is stopped when its code has an end all the same goes nowhere") {
    val cells = new CellThread(() => ())
    @volatile var enough, elsewhere = false
    val left = atWork(cells) { work =>
      Cell.code {
        work()
        try while (!enough) () catch { case _: ThreadDeath => () }
      }
      elsewhere = true
    }
    assert(left.failed.get.isInstanceOf[Cell.Interrupted])
    assert(ended(cells.add(Cell.code(42))) == Success(42))
    assert(!elsewhere)
    cells.stop()
  }

  test("a cell counts as interrupted before what it waits for is cancelled") {
    val cells = new CellThread(() => ())
    val (begun, cancelled) = (new CountDownLatch(1), new CountDownLatch(1))
    val cell = cells.add(Cell.code {
      begun.countDown()
      cancelled.await()
      throw new IllegalStateException("the job was cancelled")
    })
    assert(begun.await(Hang.toSeconds, TimeUnit.SECONDS))
    cells.interrupt {
      cancelled.countDown()
      assert(ended(cell).isFailure)
      assert(cells.wasInterrupted)
    }
    cells.stop()
  }

  test("what a cell has run is part of it") {
    val cells = new CellThread(() => ())
    assert(ended(cells.add(Cell.code(Await.result(cells.add(Cell.code(42)), Hang)))) == Success(42))
    cells.stop()
  }

  test("Scala's reflection and the begin of a class are not stopped when a cell has called them") {
    def isDelicate(names: String*) = Cell.isDelicate(names.map { name =>
      val (owner, method) = name.splitAt(name.lastIndexOf('.'))
      new StackTraceElement(owner, method.tail, null, 1)
    })
    val cell = "$line100003.$read$$iw.<init>"
    assert(isDelicate("java.lang.Object.wait", "scala.reflect.runtime.JavaMirrors.runtimeMirror", cell))
    assert(isDelicate("org.example.Library$.<clinit>", cell))
    assert(!isDelicate("java.lang.Thread.sleep", cell, "$line100003.$eval$.<clinit>"))
    assert(!isDelicate("$line100003.$read$$iw$Mine$.<clinit>", cell, "scala.reflect.internal.Trees.copy"))
  }

  test("an interrupt when nothing runs does nothing") {
    val cells = new CellThread(() => ())
    cells.interrupt()
    assert(ended(cells.add(Cell.code(Thread.sleep(1)))) == Success(()))
    cells.stop()
  }

  test("the end of the kernel ends the running cell") {
    val cells = new CellThread(() => ())
    val atWork = new CountDownLatch(1)
    val cell = cells.add(Cell.code { atWork.countDown(); while (true) () })
    assert(atWork.await(Hang.toSeconds, TimeUnit.SECONDS))
    cells.stop()
    assert(ended(cell).isInstanceOf[Failure[_]])
  }
}
