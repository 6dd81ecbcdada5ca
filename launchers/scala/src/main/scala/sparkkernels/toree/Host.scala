package sparkkernels.toree

import java.nio.file.{Files, Path, Paths}

import com.typesafe.config.{Config, ConfigValueFactory}
import org.apache.logging.log4j.Level
import org.apache.logging.log4j.core.config.Configurator
import org.apache.spark.repl.{Main => Repl}
import org.apache.spark.sql.SparkSession
import org.apache.toree.boot.CommandLineOptions

import scala.collection.JavaConverters._

/** The Scala kernel of this application: Toree in its JVM, one after another, on its SparkContext.
  *
  * The launcher process (`sparkkernels_scala`) calls this through py4j, and holds the other end of the leash.
  */
object Host {

  /** Kernels that were started in this JVM: each has names of its own for the classes of its cells. */
  private var started = 0
  private var kernel: Option[Kernel] = None

  /** Start a kernel, after the end of the one before; returns when it answers.
    *
    * @param connectionFile Jupyter's, whose ports it binds
    * @param leashPort      a port on loopback that the launcher process listens at
    * @param leashToken     what it knows this side by
    * @param jobTag         the tag of all Spark jobs of this kernel
    */
  def start(connectionFile: String, leashPort: Int, leashToken: String, jobTag: String): Unit = synchronized {
    stop()
    started += 1
    // The same name again would be another class to executors that still have the first one. Spark knows
    // classes of cells by names of this form (org.apache.spark.sql.catalyst.encoders.OuterScopes).
    System.setProperty("scala.repl.name.line", s"$$line${started}00000")
    openToToree("java.util.jar")
    link(Repl.conf.get("spark.repl.class.outputDir", ""), Repl.outputDir.toPath)
    // It logs a line for each name that it binds, with its value, and at INFO the key of the connection.
    Configurator.setLevel("org.apache.toree", Level.ERROR)
    val session = freshSession()
    val leash = new Leash(leashPort, leashToken)
    val next = new Kernel(settings(connectionFile), session, jobTag, leash)
    kernel = Some(next)
    leash.watch(() => stop(next))
    next.start()
  }

  /** End the running cell and its Spark jobs; does nothing when none runs. */
  def interrupt(): Unit = kernel.foreach(_.interrupt())

  /** Stop the kernel, if there is one: its cell is ended, its ports are closed. Spark is left as it is. */
  def stop(): Unit = synchronized(kernel.foreach(stop))

  private def stop(one: Kernel): Unit = synchronized {
    if (kernel.contains(one)) kernel = None
    one.stop()
  }

  /** A session in which nobody has set or named anything, and which is what the running one is from now on. */
  private def freshSession(): SparkSession = {
    val session = SparkSession.builder.getOrCreate().newSession()
    SparkSession.clearActiveSession()
    SparkSession.setDefaultSession(session)
    session
  }

  private def settings(connectionFile: String): Config = {
    val interpreters =
      Seq("Scala:" + classOf[CellInterpreter].getName, "SQL:" + classOf[SqlCells].getName)
    new CommandLineOptions(Seq("--profile", connectionFile)).toConfig
      .withValue("default_interpreter_plugin", ConfigValueFactory.fromIterable(interpreters.asJava))
  }

  /** What `--add-opens` does, for a package that Toree looks into; Spark's own options open java.lang. */
  private def openToToree(name: String): Unit = {
    val open = classOf[Module].getDeclaredMethod("implAddOpensToAllUnnamed", classOf[String])
    open.setAccessible(true)
    open.invoke(classOf[Object].getModule, name)
  }

  /** Have Spark's file server, which serves this name to executors, find the classes of cells there. */
  private[toree] def link(name: String, directory: Path): Unit =
    if (name.nonEmpty) {
      val path = Paths.get(name)
      if (Files.isSymbolicLink(path)) Files.delete(path)
      Files.createSymbolicLink(path, directory.toAbsolutePath)
    }
}
