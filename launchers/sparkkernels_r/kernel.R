# The R kernel: IRkernel, in which `spark` and SparkR are the application's, from the first use on.

if (!requireNamespace("IRkernel", quietly = TRUE)) {
  message(
    "R on this worker has no IRkernel. Install it on every worker",
    " (Debian: r-cran-irkernel; else install.packages(\"IRkernel\") in R)."
  )
  quit(status = 1)
}

local({
  # Where Spark itself puts its R package: in the container for an archive `...#sparkr`, else in SPARK_HOME.
  places <- c(file.path(getwd(), "sparkr"), file.path(Sys.getenv("SPARK_HOME", "/nowhere"), "R", "lib"))
  .libPaths(c(places[dir.exists(file.path(places, "SparkR"))], .libPaths()))

  news <- function() jsonlite::fromJSON(Sys.getenv("SPARKKERNELS_R_SPARK"))

  rebind <- function(namespace, name, value) {
    unlockBinding(name, namespace)
    assign(name, value, envir = namespace)
    lockBinding(name, namespace)
  }

  # Wait for the application's Spark, and let SparkR know it by the variables that Spark's own launcher sets.
  wait_for_spark <- function() {
    told <- FALSE
    while ((latest <- news())$state == "starting") {
      if (!told) message("Waiting for Spark: ", latest$text, " ...")
      told <- TRUE
      Sys.sleep(0.1)
    }
    if (latest$state == "none") stop("This kernel was started without Spark.", call. = FALSE)
    if (latest$state != "ready") {
      stop(latest$text, "\nRestart the kernel to try again.", call. = FALSE)
    }
    Sys.setenv(EXISTING_SPARKR_BACKEND_PORT = latest$port, SPARKR_BACKEND_AUTH_SECRET = latest$secret)
  }

  # Sessions of SparkR begin when there is a Spark; it would start another one for want of it.
  begin_when_ready <- function(namespace) {
    begin <- namespace$sparkR.session
    environment(begin) <- list2env(list(wait_for_spark = wait_for_spark), parent = namespace)
    body(begin) <- call("{", quote(wait_for_spark()), body(begin))
    rebind(namespace, "sparkR.session", begin)
  }

  # An interrupted call leaves an answer on the connection that the next call would take for its own.
  renew_after_interrupts <- function(namespace) {
    state <- namespace$.sparkREnv
    invoke <- namespace$invokeJava
    renew <- function(condition) {
      close(state$.sparkRCon)
      timeout <- as.numeric(Sys.getenv("SPARKR_BACKEND_CONNECTION_TIMEOUT", "6000"))
      secret <- Sys.getenv("SPARKR_BACKEND_AUTH_SECRET")
      namespace$connectBackend("localhost", state$backendPort, timeout, secret)
    }
    rebind(namespace, "invokeJava", function(...) withCallingHandlers(invoke(...), interrupt = renew))
  }

  setHook(packageEvent("SparkR", "onLoad"), function(...) {
    begin_when_ready(asNamespace("SparkR"))
    renew_after_interrupts(asNamespace("SparkR"))
    SparkR::sparkR.session()
  })

  session <- NULL
  spark_session <- function() {
    if (is.null(session)) {
      if (!requireNamespace("SparkR", quietly = TRUE)) {
        stop(
          "SparkR is not on this worker: have a full Spark distribution in its SPARK_HOME, or name an archive",
          " with SparkR, as archive.zip#sparkr, in the kernelspec's spark.yarn.dist.archives.", call. = FALSE
        )
      }
      session <<- SparkR::sparkR.session()
    }
    session
  }

  # On the search path, where a user's own variable of this name goes first. `spark <<- x` ends there as well.
  makeActiveBinding("spark", function(value) {
    if (missing(value)) spark_session() else stop("`spark` is the application's session.", call. = FALSE)
  }, attach(NULL, name = "sparkkernels"))
})

IRkernel::main()
