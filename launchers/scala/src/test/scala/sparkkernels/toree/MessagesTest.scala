package sparkkernels.toree

import org.scalatest.funsuite.AnyFunSuite
import play.api.libs.json.Json

class MessagesTest extends AnyFunSuite {

  test("what a kernel says of itself has a status and the version of its messages, the rest stays") {
    val told = Json.parse(Messages.content("kernel_info_reply", """{"protocol_version": "5.0", "banner": "b"}"""))
    assert(told == Json.obj("protocol_version" -> "5.3", "banner" -> "b", "status" -> "ok"))
  }

  test("other messages stay as they are") {
    assert(Messages.content("execute_reply", "{ }") == "{ }")
  }
}
