package sparkkernels.toree

import java.io.{ByteArrayOutputStream, OutputStream}

import org.apache.toree.interpreter.{ExecuteError, ExecuteFailure, ExecuteOutput, Interpreter, Results}
import org.apache.toree.kernel.api.KernelLike
import org.apache.toree.kernel.interpreter.sql.SqlInterpreter

import scala.util.control.NonFatal

/** What `%%sql` calls. Toree's own runs on threads of others, which no interrupt reaches. */
class SqlCells extends SqlInterpreter {
  private var kernel: KernelLike = _

  override def init(kernel: KernelLike): Interpreter = {
    this.kernel = kernel
    super.init(kernel)
  }

  override def interpret(
      code: String,
      silent: Boolean,
      output: Option[OutputStream]
  ): (Results.Result, Either[ExecuteOutput, ExecuteFailure]) =
    try {
      val table = new ByteArrayOutputStream
      Console.withOut(table)(kernel.sparkSession.sql(code.trim).show(SqlCells.Rows))
      (Results.Success, Left(Map("text/plain" -> table.toString("UTF-8"))))
    } catch {
      case NonFatal(error) =>
        (Results.Error, Right(ExecuteError(error.getClass.getName, String.valueOf(error.getMessage), Nil)))
    }
}

object SqlCells {

  /** As many as Toree shows. */
  private val Rows = 10
}
