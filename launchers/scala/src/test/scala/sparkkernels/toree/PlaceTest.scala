package sparkkernels.toree

import org.scalatest.funsuite.AnyFunSuite

class PlaceTest extends AnyFunSuite {
  private val Cell = "val a = 1\n\na / 0"

  test("lines and offsets of a cell are found in what the REPL wraps around it") {
    val text = s"package $$line100\n\nclass $$read {\n$Cell\n}"
    val place = Place.find(Cell, text).get
    assert(Seq(4, 5, 6).map(place.line) == Seq(1, 2, 3))
    assert(place.offset(text.indexOf("a / 0")) == Cell.indexOf("a / 0"))
  }

  test("what the REPL writes before the last expression is no part of the cell") {
    val text = "class $read {\nval a = 1\n\n;\nval res3 =\na / 0\n}"
    val place = Place.find(Cell, text).get
    assert(place.line(2) == 1)
    assert(place.line(6) == 3)
    assert(place.offset(text.indexOf("a / 0")) == Cell.indexOf("a / 0"))
  }

  test("a text without the cell has no place for it") {
    assert(Place.find(Cell, "class $read {\n}").isEmpty)
    assert(Place.find("", "class $read {\n}").isEmpty)
  }
}
