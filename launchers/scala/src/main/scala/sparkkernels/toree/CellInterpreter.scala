package sparkkernels.toree

import java.io.OutputStream
import java.util.concurrent.ExecutionException

import com.typesafe.config.Config
import org.apache.spark.sql.SparkSession
import org.apache.toree.global.{ExecuteRequestState, StreamState}
import org.apache.toree.interpreter._
import org.apache.toree.kernel.interpreter.scala.ScalaInterpreter
import org.apache.toree.kernel.protocol.v5.kernel.ActorLoader
import org.apache.toree.utils.TaskManager

import scala.concurrent.Future
import scala.concurrent.ExecutionContext.Implicits.global
import scala.tools.nsc.Settings
import scala.tools.nsc.interpreter.{IMain, JPrintWriter}
import scala.tools.nsc.util.Exceptional

/** Toree's Scala interpreter, with cells that can be interrupted, and the names that spark-shell has. */
class CellInterpreter(config: Config) extends ScalaInterpreter(config) {
  import CellInterpreter._

  private var compiler: CellCompiler = _
  private var cells: CellThread = _
  private val cellOut = new CellOutput(System.out)
  private val cellErr = new CellOutput(System.err)

  private var actors: ActorLoader = _
  private var session: SparkSession = _
  private var jobTag = ""
  private var onBusy: Boolean => Unit = (_: Boolean) => ()

  /** Say what this kernel's actors are and its Spark, and who hears whether a cell runs. */
  def use(actors: ActorLoader, session: SparkSession, jobTag: String, onBusy: Boolean => Unit): Unit = {
    this.actors = actors
    this.session = session
    this.jobTag = jobTag
    this.onBusy = onBusy
  }

  override def bindSparkSession(): Unit =
    doQuietly(interpret("@transient val spark = kernel.sparkSession"))

  override def bindSparkContext(): Unit =
    doQuietly(interpret("@transient val sc = spark.sparkContext"))

  override def defineImplicits(): Unit =
    doQuietly(interpret("import spark.implicits._"))

  /** Interpret code; with an output it is a cell. */
  override def interpret(code: String, silent: Boolean, output: Option[OutputStream]): Outcome = {
    compiler.begin(code)
    ExecuteRequestState.lastKernelMessage.filter(_ => output.nonEmpty) match {
      case None => super.interpret(code, silent, output)
      case Some(request) =>
        val streams = Seq(cellOut -> "stdout", cellErr -> "stderr").map { case (out, name) =>
          val stream = new CellStream(actors, request, name)
          out.show(Some(stream))
          stream
        }
        StreamState.setStreams(outputStream = cellOut, errorStream = cellErr)
        onBusy(true)
        try super.interpret(code, silent, output)
        finally {
          streams.foreach(_.flush())
          onBusy(false)
        }
    }
  }

  /** End the running cell and all Spark jobs. */
  override def interrupt(): Interpreter = {
    val spark = session.sparkContext
    cells.interrupt(if (!spark.isStopped) spark.cancelAllJobs())
    this
  }

  override def completion(code: String, position: Int): (Int, List[String]) =
    super.completion(code, position) match {
      case (_, Nil) => (position, Nil)
      case found    => found
    }

  override def stop(): Interpreter = {
    super.stop()
    cellOut.show(None)
    cellErr.show(None)
    this
  }

  /** Let go of all values; after the end. */
  def forget(): Unit = Option(compiler).foreach(begun => CellClasses.forget(begun.classLoader))

  override protected def newIMain(settings: Settings, out: JPrintWriter): IMain = {
    compiler = new CellCompiler(settings, out)
    compiler.start()
    compiler
  }

  override protected def newTaskManager(): TaskManager = {
    cells = new CellThread(() => {
      SparkSession.setActiveSession(session)
      session.sparkContext.addJobTag(jobTag)
      // Or tasks of a cancelled job go on, and the next cell's job waits for them.
      session.sparkContext.setInterruptOnCancel(true)
    })
    cells
  }

  /** As Toree does, except for errors, whose text it would take for values. */
  override protected def interpretMapToResultAndOutput(future: Future[Results.Result]) =
    future.transformWith {
      case scala.util.Success(Results.Error) =>
        val text = lastResultOut.toString("UTF-8").trim
        lastResultOut.reset()
        Future.successful((Results.Error: Results.Result, Right(error(text))))
      case scala.util.Failure(thrown) =>
        lastResultOut.reset()
        Future.successful((Results.Error: Results.Result, Right(described(thrown))))
      case _ => super.interpretMapToResultAndOutput(future)
    }

  private def error(text: String): ExecuteError = cells.thrown match {
    case Some(thrown)                 => described(Exceptional.unwrap(thrown))
    case None if cells.wasInterrupted => interrupted
    case None =>
      val lines = text.split("\n").toList
      ExecuteError("CompileError", lines.headOption.getOrElse(""), lines)
  }

  private def described(thrown: Throwable): ExecuteError = thrown match {
    case _ if cells.wasInterrupted => interrupted
    // As which a Future has errors of the JVM.
    case boxed: ExecutionException if boxed.getCause != null => described(boxed.getCause)
    case _ =>
      ExecuteError(thrown.getClass.getName, Option(thrown.getMessage).getOrElse(""), compiler.trace(thrown))
  }
}

object CellInterpreter {
  private val Interruption = "The cell was interrupted."
  private val interrupted = ExecuteError("Interrupted", Interruption, List(Interruption))

  private type Outcome = (Results.Result, Either[ExecuteOutput, ExecuteFailure])
}
