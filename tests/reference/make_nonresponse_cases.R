# Writes the cases of Little's test in this folder: the normal distribution of maximum
# likelihood is that of lavaan (missing = "ml", an unrestricted model), and the statistic is
# written out here over the patterns of missing answers.
#
#   Rscript make_nonresponse_cases.R        (in this folder; needs lavaan, jsonlite)

suppressPackageStartupMessages(library(lavaan))
source("common.R")

little <- function(x) {
  some <- x[rowSums(!is.na(x)) > 0, ]
  model <- c(
    outer(names(x), names(x), function(a, b) paste(a, "~~", b))[lower.tri(diag(ncol(x)), TRUE)],
    paste(names(x), "~ 1")
  )
  fit <- lavaan(
    paste(model, collapse = "\n"), some, missing = "ml", warn = FALSE,
    em.h1.tol = 1e-13, em.h1.iter.max = 100000
  )
  h1 <- lavInspect(fit, "sampstat.h1")
  mean <- setNames(as.numeric(h1$mean), names(x))
  covariance <- unclass(h1$cov)[names(x), names(x)]
  pattern <- apply(is.na(some), 1, function(row) paste(as.integer(row), collapse = ""))
  statistic <- 0
  seen <- 0
  for (rows in split(some, pattern)) {
    given <- names(x)[!is.na(rows[1, ])]
    away <- colMeans(rows[given]) - mean[given]
    statistic <- statistic +
      nrow(rows) * drop(t(away) %*% solve(covariance[given, given, drop = FALSE]) %*% away)
    seen <- seen + length(given)
  }
  df <- seen - ncol(x)
  list(
    mean = as.numeric(mean), covariance = list(
      rows = names(x), cols = names(x), values = unname(covariance)
    ),
    statistic = statistic, df = df, p_value = pchisq(statistic, df, lower.tail = FALSE),
    n_patterns = length(unique(pattern)), n = nrow(some)
  )
}

set.seed(20260501)
n <- 260
loadings <- c(0.8, 0.7, 0.6, 0.5)
trait <- rnorm(n)
x <- sapply(loadings, function(l) l * trait + sqrt(1 - l^2) * rnorm(n))
answers <- as.data.frame(round(pmin(pmax(3 + 1.1 * x, 1), 5)))
names(answers) <- paste0("q", 1:4)
answers$wait <- round(exp(3 + 0.5 * x[, 1] + 0.6 * rnorm(n)), 1)
whole <- answers
for (item in names(answers)) answers[[item]][runif(n) < 0.12] <- NA
answers[c(17, 80), ] <- NA
write_table(answers, "missing.csv")

# A question is left open the more often, the lower the answer to the first one.
open <- whole
for (item in names(open)[-1]) open[[item]][runif(n) < 0.4 / (1 + exp(open$q1 - 2.5))] <- NA
write_table(open, "missing_dependent.csv")

for (kind in list(
  list("mcar-simulated", "missing.csv", answers, "completely at random, two rows empty"),
  list("mcar-simulated-dependent", "missing_dependent.csv", open, "given the first item")
)) {
  write_case(
    kind[[1]], "mcar", kind[[2]], list(items = names(kind[[3]])),
    "lavaan(model, x, missing = 'ml'); statistic over patterns", version_of("lavaan"),
    "iterative", 1e-6,
    paste(
      "Simulated: 260 respondents, answers missing", paste0(kind[[4]], "."),
      "The covariance has the divisor n; rows without an answer are left out."
    ),
    little(kind[[3]])
  )
}
