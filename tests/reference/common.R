# What every script of cases in this folder uses: how a case and a table are written.

library(jsonlite)
options(stringsAsFactors = FALSE, digits = 15)

version_of <- function(...) {
  names <- c(...)
  paste(names, sapply(names, function(name) as.character(packageVersion(name))), collapse = "; ")
}

write_case <- function(case, capability, data, inputs, call, package, kind, rel_tol, notes,
                       expected, optional = list()) {
  told <- list(
    case = case, capability = capability, data = I(data), inputs = inputs,
    optional_expected = optional, call = call, package = package, engine = R.version.string,
    kind = kind, rel_tol = rel_tol, notes = notes, expected = expected
  )
  text <- toJSON(told, auto_unbox = TRUE, digits = I(15), null = "null", na = "null", pretty = 1)
  writeLines(text, file.path("cases", paste0(case, ".json")), useBytes = TRUE)
}

write_table <- function(table, name) {
  write.csv(table, file.path("data", name), row.names = FALSE, na = "", quote = FALSE)
}

columns <- function(table) c(list(`_row` = rownames(table)), as.list(table))
named <- function(x) as.list(x)
