package sparkkernels.toree

import org.apache.toree.communication.security.{Hmac, HmacAlgorithm}
import org.apache.toree.kernel.protocol.v5.{KMBuilder, MessageType}
import org.scalatest.funsuite.AnyFunSuite
import play.api.libs.json.Json

class MessagesTest extends AnyFunSuite {

  test("what a kernel says of itself has a status and the version of its messages, the rest stays") {
    val told = Json.parse(Messages.content("kernel_info_reply", """{"protocol_version": "5.0", "banner": "b"}"""))
    assert(told == Json.obj("protocol_version" -> "5.3", "banner" -> "b", "status" -> "ok"))
  }

  test("a message is signed as clients do it, and one that somebody else has signed or changed is not") {
    val hmac = Hmac("key", HmacAlgorithm("hmacsha256"))
    val message = KMBuilder().withHeader(MessageType.Outgoing.Status).withContentString("""{"execution_state":"idle"}""")
    val signed = Messages.signed(message.build, hmac)
    val parts = Seq(signed.header, signed.parentHeader).map(Json.toJson(_)) :+ Json.toJson(signed.metadata)
    val sent = parts.map(Json.stringify) :+ signed.contentString
    assert(signed.signature.matches("[0-9a-f]{64}"))
    assert(Messages.isSigned(signed, sent, hmac))
    assert(!Messages.isSigned(signed, sent.init :+ """{"execution_state":"busy"}""", hmac))
    assert(!Messages.isSigned(signed, sent, Hmac("another", HmacAlgorithm("hmacsha256"))))
  }

  test("other messages stay as they are") {
    assert(Messages.content("execute_reply", "{ }") == "{ }")
  }
}
