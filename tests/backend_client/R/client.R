# Not SparkR: a small client of its backend's protocol, for the tests (see DESCRIPTION).

.sparkREnv <- new.env()

int <- function(value) writeBin(as.integer(value), raw(), endian = "big")
text <- function(value) c(int(nchar(value, "bytes") + 1L), charToRaw(value), as.raw(0))
typed <- function(value) {
  if (inherits(value, "jobj")) return(c(charToRaw("j"), text(value$id)))
  if (is.character(value)) return(c(charToRaw("c"), text(value)))
  c(charToRaw(if (is.logical(value)) "b" else "i"), int(value))
}
readInt <- function(con) readBin(con, integer(), endian = "big")
readText <- function(con) rawToChar(readBin(con, raw(), readInt(con)))
readObject <- function(con) readTyped(con, rawToChar(readBin(con, raw(), 1)))
readTyped <- function(con, type) {
  switch(type,
    l = replicate(readInt(con), readObject(con), simplify = FALSE),
    a = { of <- rawToChar(readBin(con, raw(), 1)); replicate(readInt(con), readTyped(con, of)) },
    n = NULL, i = readInt(con), b = readInt(con) == 1L, c = readText(con),
    d = readBin(con, double(), endian = "big"), j = structure(list(id = readText(con)), class = "jobj")
  )
}

connectBackend <- function(hostname, port, timeout, authSecret) {
  con <- socketConnection(hostname, as.integer(port), blocking = TRUE, open = "wb", timeout = timeout)
  writeBin(text(authSecret), con)
  stopifnot(readText(con) == "ok")
  .sparkREnv$.sparkRCon <- con
}

invokeJava <- function(isStatic, objId, methodName, ...) {
  arguments <- list(...)
  call <- c(int(isStatic), text(objId), text(methodName), int(length(arguments)))
  for (argument in arguments) call <- c(call, typed(argument))
  writeBin(c(int(length(call)), call), .sparkREnv$.sparkRCon)
  while ((status <- readInt(.sparkREnv$.sparkRCon)) == 1L) next # it says every now and then that it works
  if (status != 0L) stop(readText(.sparkREnv$.sparkRCon))
  readObject(.sparkREnv$.sparkRCon)
}
sparkR.callJMethod <- function(object, methodName, ...) invokeJava(FALSE, object$id, methodName, ...)
sparkR.callJStatic <- function(className, methodName, ...) invokeJava(TRUE, className, methodName, ...)

sparkR.session <- function() {
  if (is.null(.sparkREnv$.sparkRsession)) {
    .sparkREnv$backendPort <- Sys.getenv("EXISTING_SPARKR_BACKEND_PORT")
    connectBackend("localhost", .sparkREnv$backendPort, 600, Sys.getenv("SPARKR_BACKEND_AUTH_SECRET"))
    builder <- sparkR.callJStatic("org.apache.spark.sql.SparkSession", "builder")
    .sparkREnv$.sparkRsession <- sparkR.callJMethod(builder, "getOrCreate")
  }
  .sparkREnv$.sparkRsession
}

# What examples/flights-r.ipynb uses of SparkR, each with SparkR's name and meaning.
sparkR.version <- function() sparkR.callJMethod(sparkR.session(), "version")
sql <- function(sqlQuery) sparkR.callJMethod(sparkR.session(), "sql", sqlQuery)
read.df <- function(path, source, schema, ...) {
  reader <- sparkR.callJMethod(sparkR.callJMethod(sparkR.session(), "read"), "format", source)
  reader <- sparkR.callJMethod(reader, "schema", schema)
  options <- list(...)
  for (name in names(options)) reader <- sparkR.callJMethod(reader, "option", name, options[[name]])
  sparkR.callJMethod(reader, "load", path)
}
cache <- function(x) sparkR.callJMethod(x, "cache")
count <- function(x) sparkR.callJMethod(x, "count")
createOrReplaceTempView <- function(x, viewName) {
  invisible(sparkR.callJMethod(x, "createOrReplaceTempView", viewName))
}
showDF <- function(x, numRows = 20, truncate = TRUE) {
  cat(sparkR.callJMethod(x, "showString", as.integer(numRows), if (truncate) 20L else 0L, FALSE))
}
collect <- function(x) {
  columns <- sparkR.callJStatic("org.apache.spark.sql.api.r.SQLUtils", "dfToCols", x)
  names(columns) <- sparkR.callJMethod(x, "columns")
  as.data.frame(lapply(columns, unlist))
}
