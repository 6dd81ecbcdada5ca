package sparkkernels.toree

import java.nio.file.Files

import akka.actor.{Actor, ActorRef, ActorSelection, ActorSystem, Props}
import com.typesafe.config.{Config, ConfigFactory}
import org.apache.spark.sql.SparkSession
import org.apache.toree.boot.KernelBootstrap
import org.apache.toree.boot.layer._
import org.apache.toree.comm.{CommRegistrar, CommStorage, KernelCommManager}
import org.apache.toree.communication.security.{Hmac, HmacAlgorithm}
import org.apache.toree.dependencies.{CoursierDependencyDownloader, DependencyDownloader}
import org.apache.toree.interpreter.Interpreter
import org.apache.toree.kernel.api
import org.apache.toree.kernel.protocol.v5.content.{CommClose, CommMsg, CommOpen, ShutdownReply, ShutdownRequest}
import org.apache.toree.kernel.protocol.v5.handler.GenericSocketMessageHandler
import org.apache.toree.kernel.protocol.v5.kernel.{ActorLoader, SimpleActorLoader}
import org.apache.toree.kernel.protocol.v5.relay.KernelMessageRelay
import org.apache.toree.kernel.protocol.v5.{KMBuilder, KernelMessage, MessageType, SocketType, SystemActorType}
import org.apache.toree.plugins.{AllInterpretersReady, PluginManager}
import org.apache.toree.utils.LogLike
import org.slf4j.Logger
import org.slf4j.helpers.NOPLogger
import play.api.libs.json.Json

import scala.collection.JavaConverters._
import scala.collection.mutable
import scala.concurrent.Await
import scala.concurrent.ExecutionContext.Implicits.global
import scala.concurrent.duration._
import scala.language.reflectiveCalls // Toree's MessageType

/** One Toree, without what it does to a JVM that it takes for its own.
  *
  * It has no signal handlers, no shutdown hook and no SecurityManager, never ends the JVM, and its Spark is the
  * application's.
  *
  * @param config  Toree's settings, those of the connection file among them
  * @param session what `spark` is
  * @param jobTag  the tag of all Spark jobs
  * @param leash   the way to the launcher process, which is told when cells run and when to end
  */
class Kernel(config: Config, session: SparkSession, jobTag: String, leash: Leash)
    extends KernelBootstrap(config)
    with StandardBareInitialization
    with ComponentInitialization
    with StandardHandlerInitialization
    with HookInitialization {

  // Toree logs the connection's key.
  override protected val logger: Logger = NOPLogger.NOP_LOGGER

  @volatile private var actors: Option[ActorSystem] = None
  @volatile private var cells: Option[CellInterpreter] = None
  private var messages: ActorRef = _

  /** Start it; returns when it answers. */
  def start(): Unit = {
    initialize()
    System.setSecurityManager(null)
  }

  /** End the running cell and its Spark jobs. */
  def interrupt(): Unit = cells.foreach(_.interrupt())

  /** End it: afterwards nothing of it runs, its ports are free, and its values are not held. */
  def stop(): Unit = {
    cells.foreach(_.stop())
    actors.foreach(system => Await.ready(system.terminate(), Kernel.StopTimeout))
    leash.close()
    cells.foreach(_.forget())
    cells = None
  }

  override def initializeHooks(config: Config, interpreter: Interpreter): Unit = ()

  override def initializeShutdownHook(): Unit = ()

  override protected def createActorSystem(name: String): ActorSystem = {
    val system = ActorSystem(name, Kernel.AkkaSettings.withFallback(config), getClass.getClassLoader)
    actors = Some(system)
    // Akka ends when an actor's thread gets an OutOfMemoryError; nobody would answer any more.
    system.whenTerminated.foreach(_ => leash.close())
    system
  }

  /** Toree's, except that a request for the kernel's end comes here, that messages pass by [[Messages]], and that
    * those to all clients keep their order: Toree has an actor for each of their types, and so "idle" may come
    * before a cell's last output.
    */
  override protected def createActorLoader(system: ActorSystem): ActorLoader = {
    val standard = SimpleActorLoader(system)
    messages = system.actorOf(Props(new Messages(standard, hmac)), "sparkkernels-messages")
    val end = system.actorOf(Props(new EndOfKernel(messages, leash)), "sparkkernels-end")
    new ActorLoader {
      override def load(what: Enumeration#Value): ActorSelection = what match {
        case MessageType.Incoming.ShutdownRequest => system.actorSelection(end.path)
        case SystemActorType.KernelMessageRelay | SystemActorType.StatusDispatch =>
          system.actorSelection(messages.path)
        case _ if Kernel.ToAllClients(what) => standard.load(SocketType.IOPub)
        case _                              => standard.load(what)
      }
    }
  }

  /** Toree's relay, which leaves signatures to [[Messages]], and its sender of answers on the control channel. */
  override protected def initializeCoreActors(config: Config, system: ActorSystem, actorLoader: ActorLoader) = {
    import MessageType.{Incoming, Outgoing}
    val incoming = Seq(Incoming.CommOpen, Incoming.CommMsg, Incoming.CommClose)
    val outgoing = Seq(Outgoing.CommOpen, Outgoing.CommMsg, Outgoing.CommClose)
    def named(kinds: Seq[Enumeration#Value]) = Kernel.Comms.zip(kinds.map(_.toString)).toMap
    val relay = system.actorOf(
      Props(new KernelMessageRelay(actorLoader, false, named(incoming), named(outgoing))),
      SystemActorType.KernelMessageRelay.toString
    )
    val answers = system.actorOf(
      Props(new GenericSocketMessageHandler(actorLoader, SocketType.Control)),
      Outgoing.ShutdownReply.toString
    )
    (relay, messages, messages, messages, answers)
  }

  private def hmac = Hmac(config.getString("key"), HmacAlgorithm(config.getString("signature_scheme").replace("-", "")))

  /** As Toree's own, with the application's session and an interpreter that knows the leash. */
  override def initializeComponents(config: Config, actorLoader: ActorLoader) = {
    val storage = new CommStorage
    val registrar = new CommRegistrar(storage)
    val comms = new KernelCommManager(actorLoader, KMBuilder(), registrar)
    val interpreters = InterpreterManager(config)
    val scala = interpreters.interpreters("Scala").asInstanceOf[CellInterpreter]
    val downloader = new CoursierDependencyDownloader
    downloader.setDownloadDirectory(Files.createTempDirectory("toree_add_deps").toFile)
    val plugins = new PluginManager
    val kernel = new api.Kernel(config, actorLoader, interpreters, comms, plugins) {
      override def sparkSession: SparkSession = session
    }
    plugins.dependencyManager.add[Interpreter](scala)
    plugins.dependencyManager.add[DependencyDownloader](downloader)
    plugins.dependencyManager.add(config)
    plugins.dependencyManager.add(plugins)
    plugins.dependencyManager.add[api.Kernel](kernel)
    plugins.initialize()
    scala.use(actorLoader, session, jobTag, busy => leash.tell(if (busy) "busy" else "idle"))
    cells = Some(scala)
    interpreters.initializeInterpreters(kernel)
    plugins.fireEvent(AllInterpretersReady)
    val responses: mutable.Map[String, ActorRef] =
      new java.util.concurrent.ConcurrentHashMap[String, ActorRef]().asScala
    (storage, registrar, comms, scala, kernel, downloader, kernel.magics, plugins, responses)
  }
}

object Kernel {

  /** As clients call them; Toree has actors of other names for them. */
  private val Comms = Seq(CommOpen.toTypeString, CommMsg.toTypeString, CommClose.toTypeString)

  private val ToAllClients: Set[Enumeration#Value] = {
    import MessageType.Outgoing._
    Set(ExecuteInput, ExecuteResult, Stream, DisplayData, ClearOutput, Error, Status)
  }

  private val StopTimeout = 10.seconds

  /** An OutOfMemoryError of a cell may hit any thread, and by default Akka ends the JVM for it. */
  private val AkkaSettings = ConfigFactory.parseString("akka.jvm-exit-on-fatal-error = off")
}

/** Answers the request for the kernel's end, and has the launcher process end: then Toree is stopped. */
class EndOfKernel(messages: ActorRef, leash: Leash) extends Actor {
  override def receive: Receive = { case request: KernelMessage =>
    val restart = Json.parse(request.contentString).as[ShutdownRequest].restart
    messages ! KMBuilder()
      .withParent(request)
      .withIds(request.ids)
      .withHeader(MessageType.Outgoing.ShutdownReply)
      .withContentString(ShutdownReply(restart))
      .build
    leash.tell("end")
  }
}
