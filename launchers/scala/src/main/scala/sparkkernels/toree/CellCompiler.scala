package sparkkernels.toree

import java.security.ProtectionDomain

import scala.collection.concurrent.TrieMap
import scala.reflect.internal.util.{AbstractFileClassLoader, BatchSourceFile, Position, SourceFile}
import scala.reflect.runtime.universe
import scala.tools.nsc.Settings
import scala.tools.nsc.interpreter.{IMain, JPrintWriter, ReplReporter}

/** The REPL's compiler, which counts lines as the cell does: it wraps cells into classes of its own.
  *
  * @param settings the compiler's
  * @param out      where it writes errors and results
  */
class CellCompiler(settings: Settings, out: JPrintWriter) extends IMain(settings, out) {
  import CellCompiler._

  /** Where each cell is in what was compiled, by the name of its package. */
  private val places = TrieMap[String, Place]()
  @volatile private var cell = ""

  /** What Scala's reflection knows of the cells' classes; when nobody has it, reflection begins it anew each time. */
  private var mirror: Option[universe.Mirror] = None

  override lazy val reporter: ReplReporter = new ReplReporter(this) {
    override protected def display(position: Position, message: String, severity: Severity): Unit =
      super.display(inCell(position), message, severity)
  }

  /** Get ready.
    *
    * A thread keeps the classes that were running when it was started (`Thread.inheritedAccessControlContext`).
    * Were their protection domain to name their loader, as it does in Scala, the threads that a cell has Spark
    * start for its pools would keep all values of a kernel in memory after its end.
    */
  def start(): Unit = {
    initializeSynchronous()
    val loader = classLoader
    val domain = classOf[AbstractFileClassLoader].getDeclaredField("protectionDomain")
    domain.setAccessible(true)
    domain.set(loader, new ProtectionDomain(loader.protectionDomain.getCodeSource, null))
    mirror = Some(runtimeMirror)
    setExecutionWrapper("_root_.sparkkernels.toree.Cell.code")
  }

  /** Say what the cell is that is interpreted next. */
  def begin(code: String): Unit = cell = code

  override def compileSourcesKeepingRun(sources: SourceFile*) = {
    for {
      source <- sources
      text = new String(source.content)
      name <- PackageName.findFirstMatchIn(text)
      place <- Place.find(cell, text)
    } places.putIfAbsent(name.group(1), place)
    super.compileSourcesKeepingRun(sources: _*)
  }

  /** What was thrown by a cell, as the lines that its user sees.
    *
    * Frames of the interpreter and all below are left out; the last one left is that of the cell itself.
    */
  def trace(error: Throwable): List[String] = {
    val frames = error.getStackTrace.toList
    val (inner, outer) = frames.span(frame => !isCell(frame))
    val shown = (inner ++ outer.headOption).map(frame => s"  at ${describe(frame)}")
    val cause = Option(error.getCause).filter(_ ne error).toList.flatMap(trace)
    error.toString.split("\n").toList ++ shown ++ cause.headOption.map("Caused by: " + _) ++ cause.drop(1)
  }

  private def isCell(frame: StackTraceElement) =
    frame.getMethodName == "<init>" && Wrapper.pattern.matcher(frame.getClassName).matches

  private def describe(frame: StackTraceElement): String =
    frame.getClassName match {
      case OfCell(name, wrapped) if frame.getFileName == Console && places.contains(name) =>
        val line = places(name).line(frame.getLineNumber)
        val owners = wrapped.replace("$iw", "").split('$').filter(_.nonEmpty)
        if (isCell(frame)) s"$Cell:$line" else s"${(owners :+ frame.getMethodName).mkString(".")}($Cell:$line)"
      case _ => frame.toString
    }

  private def inCell(position: Position): Position =
    (for {
      defined <- Some(position) if position.isDefined
      place <- Place.find(cell, new String(position.source.content))
      offset = place.offset(position.point) if offset >= 0 && offset <= cell.length
    } yield Position.offset(new BatchSourceFile(Cell, cell), offset)).getOrElse(position)
}

/** Where a cell is in the text that the REPL makes of it.
  *
  * @param start where the cell begins
  * @param gap   what the REPL wrote into the middle of it, to name the value of its last expression: from, until
  */
private class Place(text: String, start: Int, gap: (Int, Int)) {
  private val linesBefore = newlines(start)
  private val (gapLine, gapLines) = (newlines(gap._1) + 1, newlines(gap._2) - newlines(gap._1))

  /** A line of the cell, from a line of the text; both count from 1. */
  def line(number: Int): Int = number - linesBefore - (if (number > gapLine) gapLines else 0)

  /** An offset in the cell, from one in the text. */
  def offset(point: Int): Int = point - start - (if (point >= gap._2) gap._2 - gap._1 else 0)

  private def newlines(until: Int) = text.take(until).count(_ == '\n')
}

private object Place {

  /** As `IMain.requestFromLine` writes it. */
  private val Gap = """;\nval res\d+ =\n""".r

  def find(cell: String, text: String): Option[Place] =
    (Iterator((text.length, text.length)) ++ Gap.findAllMatchIn(text).map(gap => (gap.start, gap.end)))
      .map(gap => (gap, (text.take(gap._1) + text.drop(gap._2)).indexOf(cell)))
      .collectFirst { case (gap, start) if start >= 0 && cell.nonEmpty => new Place(text, start, gap) }
}

object CellCompiler {

  /** What the file is called in errors; and what the REPL calls it. */
  private val Cell = "cell"
  private val Console = "<console>"

  private val PackageName = """package (\$line\d+)""".r
  private val Wrapper = """\$line\d+\.\$read(\$\$?iw)*""".r
  private val OfCell = """(\$line\d+)\.\$(?:read|eval)(.*)""".r

  /** Whether it is code of a cell that is called there. */
  def isOfCell(frame: StackTraceElement): Boolean = OfCell.pattern.matcher(frame.getClassName).matches
}
