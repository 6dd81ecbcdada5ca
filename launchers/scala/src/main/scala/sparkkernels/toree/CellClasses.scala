package sparkkernels.toree

import java.lang.reflect.{Field, Modifier}

import scala.reflect.internal.util.AbstractFileClassLoader

/** The classes of a kernel's cells, whose static fields hold all values.
  *
  * Their loader outlives the kernel: it is the context class loader of cells, and so that of threads which Spark's
  * pools start for them, and the parent of the classes that Spark generates for queries. Hadoop's configurations
  * and others that a cell is the first to need keep it as well.
  */
object CellClasses {

  /** Have the classes of an ended kernel hold nothing any more, so that only they stay with their loader.
    *
    * Without Unsafe a class that was never initialized would be at this point, and the code of its cell would run.
    */
  def forget(loader: AbstractFileClassLoader): Unit = {
    val unsafe = {
      val field = classOf[sun.misc.Unsafe].getDeclaredField("theUnsafe")
      field.setAccessible(true)
      field.get(null).asInstanceOf[sun.misc.Unsafe]
    }
    for (field <- of(loader).flatMap(references))
      unsafe.putObject(unsafe.staticFieldBase(field), unsafe.staticFieldOffset(field), null)
    // The REPL's loader is an inner class of the compiler.
    for (field <- loader.getClass.getDeclaredFields if field.getName == "$outer") {
      field.setAccessible(true)
      field.set(loader, null)
    }
  }

  /** The static fields of a class that hold objects; none when it mentions a class that is not there. */
  private def references(one: Class[_]): List[Field] =
    try
      one.getDeclaredFields.toList.filter { field =>
        Modifier.isStatic(field.getModifiers) && !field.getType.isPrimitive
      }
    catch { case _: LinkageError => Nil }

  /** Those of the REPL's classes that this loader has loaded. */
  private def of(loader: AbstractFileClassLoader): List[Class[_]] = {
    val find = classOf[ClassLoader].getDeclaredMethod("findLoadedClass", classOf[String])
    find.setAccessible(true)
    val names = for {
      directory <- loader.root.toList if directory.isDirectory
      file <- directory.toList if file.hasExtension("class")
    } yield s"${directory.name}.${file.name.stripSuffix(".class")}"
    names.map(find.invoke(loader, _)).collect { case loaded: Class[_] => loaded }
  }
}
