package sparkkernels.toree

import java.nio.charset.StandardCharsets.UTF_8
import java.security.MessageDigest

import akka.actor.Actor
import org.apache.toree.communication.security.Hmac
import org.apache.toree.kernel.protocol.v5.KernelStatusType.KernelStatusType
import org.apache.toree.kernel.protocol.v5.content.KernelStatus
import org.apache.toree.kernel.protocol.v5.kernel.ActorLoader
import org.apache.toree.kernel.protocol.v5.{Header, HeaderBuilder, KMBuilder, KernelMessage, MessageType, SystemActorType}
import play.api.libs.json.{JsObject, Json}

import scala.language.reflectiveCalls // Toree's MessageType

/** Stands before Toree's relay of messages, and in the place of its actors for signatures and for `busy` and `idle`.
  *
  * So a cell is busy before anything else is said of it, and what is sent has the form that clients of today
  * expect: Toree's messages say that they are of version 5.0 of the protocol, whose rules they don't keep. And no
  * message waits for another actor's signature: Toree's relay waits for 5 s, as a full collection of garbage may
  * take, and is deaf for good after that.
  *
  * @param actors Toree's own
  * @param hmac   makes signatures
  */
class Messages(actors: ActorLoader, hmac: Hmac) extends Actor {
  override def receive: Receive = {
    case (signed: Seq[_], message: KernelMessage) =>
      if (Messages.isSigned(message, signed.map(_.toString), hmac)) relay ! ((signed, message))
    case (status: KernelStatusType, about: Header) => send(said(status, about))
    case status: KernelStatusType                  => send(said(status, HeaderBuilder.empty))
    case message: KernelMessage                    => send(message)
  }

  private def relay = actors.load(SystemActorType.KernelMessageRelay)

  private def said(status: KernelStatusType, about: Header): KernelMessage =
    KMBuilder()
      .withIds(Seq(MessageType.Outgoing.Status.toString.getBytes))
      .withHeader(MessageType.Outgoing.Status)
      .withParentHeader(about)
      .withContentString(KernelStatus(status.toString))
      .build

  private def send(message: KernelMessage): Unit = relay ! Messages.signed(
    message.copy(
      header = message.header.copy(version = Messages.Version),
      contentString = Messages.content(message.header.msg_type, message.contentString)
    ),
    hmac
  )
}

object Messages {

  /** Of the messaging protocol. */
  private val Version = "5.3"

  /** A message with its signature. */
  private[toree] def signed(message: KernelMessage, hmac: Hmac): KernelMessage = {
    val parts = Seq(Json.toJson(message.header), Json.toJson(message.parentHeader), Json.toJson(message.metadata))
    message.copy(signature = hmac.digest(parts.map(Json.stringify) :+ message.contentString))
  }

  private[toree] def isSigned(message: KernelMessage, parts: Seq[String], hmac: Hmac): Boolean =
    MessageDigest.isEqual(hmac.digest(parts).getBytes(UTF_8), message.signature.getBytes(UTF_8))

  private val About = MessageType.Outgoing.KernelInfoReply.toString

  /** A message's content with what Toree leaves out of it. */
  private[toree] def content(kind: String, text: String): String =
    if (kind != About) text
    else {
      val more = Json.obj("status" -> "ok", "protocol_version" -> Version)
      Json.stringify(Json.parse(text).as[JsObject] ++ more)
    }
}
