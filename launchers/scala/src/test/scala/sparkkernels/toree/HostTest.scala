package sparkkernels.toree

import java.nio.file.{Files, Paths}

import org.scalatest.funsuite.AnyFunSuite

class HostTest extends AnyFunSuite {

  test("the name that Spark serves leads to where the classes are, also a second time") {
    val directory = Files.createTempDirectory("host")
    val (name, classes) = (directory.resolve("name"), Files.createDirectory(directory.resolve("classes")))
    Host.link(name.toString, classes)
    Host.link(name.toString, classes)
    Files.write(classes.resolve("A.class"), Array[Byte](1))
    assert(Files.exists(name.resolve("A.class")))
    Seq(classes.resolve("A.class"), name, classes, directory).foreach(Files.delete)
  }

  test("without a name there is nothing to do") {
    Host.link("", Paths.get("/nowhere"))
  }

  test("interrupting and stopping without a kernel do nothing") {
    Host.interrupt()
    Host.stop()
  }
}
