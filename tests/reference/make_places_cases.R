# Writes data/*.csv and cases/*.json in this folder from simulated data, for places: area-level
# models, test and retest, and standard errors of places with a lonely PSU.
#
#   Rscript make_places_cases.R        (in this folder; needs metafor, psych, survey, jsonlite)
#
# The same R and the same versions of the packages write the same bytes.

suppressPackageStartupMessages({
  library(metafor)
  library(psych)
  library(survey)
})
source("common.R")

# Area-level models ----------------------------------------------------------------------------

# Mean squared errors by the formulas of Prasad and Rao, of Datta and Lahiri, and of Datta, Rao
# and Smith, with whole matrices; a place without an estimate is the limit of v to infinity.
mean_squared_errors <- function(fit, X, v, X0, method) {
  A <- fit$tau2
  m <- length(v)
  S <- diag(A + v)
  inverse <- solve(S)
  C <- solve(t(X) %*% inverse %*% X)
  gamma <- A / (A + v)
  trace <- function(M) sum(diag(M))
  if (method == "HE") {
    spread <- 2 * trace(S %*% S) / m^2
    bias <- 0
  } else if (method == "PM") {
    spread <- 2 * m / trace(inverse)^2
    bias <- 2 * (m * trace(inverse %*% inverse) - trace(inverse)^2) / trace(inverse)^3
  } else {
    spread <- 2 / trace(inverse %*% inverse)
    bias <- 0
  }
  if (method == "ML") {
    bias <- -trace(C %*% t(X) %*% inverse %*% inverse %*% X) / trace(inverse %*% inverse)
  }
  first <- gamma * v
  second <- (1 - gamma)^2 * diag(X %*% C %*% t(X))
  third <- v^2 / (A + v)^3 * spread
  list(
    direct = first + second + 2 * third - bias * (1 - gamma)^2,
    synthetic = A - bias + diag(X0 %*% C %*% t(X0))
  )
}

set.seed(20260501)
m <- 40
covariates <- c("density", "own_share")
areas <- data.frame(
  area = sprintf("a%02d", 1:m), density = round(rnorm(m), 4), own_share = round(runif(m), 4)
)
areas$variance <- round(exp(rnorm(m, -0.6, 0.7)), 5)
areas$estimate <- round(
  2 + 0.8 * areas$density - areas$own_share + 0.7 * rnorm(m) + sqrt(areas$variance) * rnorm(m), 5
)
areas$estimate[c(7, 31)] <- NA
areas$variance[c(7, 31)] <- NA
write_table(areas, "areas.csv")

area_case <- function(case, method, used) {
  there <- !is.na(areas$estimate)
  X <- as.matrix(cbind(1, areas[used]))
  yi <- areas$estimate[there]
  vi <- areas$variance[there]
  control <- list(threshold = 1e-13, maxiter = 10000, tol = 1e-13)
  fit <- if (length(used)) {
    rma(yi, vi, mods = X[there, -1, drop = FALSE], method = method, control = control)
  } else {
    rma(yi, vi, method = method, control = control)
  }
  best <- blup(fit)
  error <- mean_squared_errors(
    fit, X[there, , drop = FALSE], vi, X[!there, , drop = FALSE], method
  )
  eblup <- mse <- numeric(m)
  eblup[there] <- best$pred
  eblup[!there] <- X[!there, , drop = FALSE] %*% coef(fit)
  mse[there] <- error$direct
  mse[!there] <- error$synthetic
  write_case(
    case, "fay_herriot", "areas.csv",
    list(
      area = "area", estimate = "estimate", variance = "variance", covariates = I(used),
      method = method
    ),
    sprintf("metafor::rma(yi, vi, mods, method = '%s'); blup(fit); formulas of mse", method),
    version_of("metafor"), "iterative", 1e-6,
    "Simulated: 40 areas, two without an estimate; mse by whole matrices.",
    list(
      coef = as.vector(coef(fit)), se = fit$se, variance = fit$tau2, variance_se = fit$se.tau2,
      eblup = eblup, first_order_se = best$se, mse = mse
    )
  )
}
for (method in c("REML", "ML", "PM", "HE")) {
  area_case(paste0("area-", tolower(method)), method, covariates)
}
area_case("area-mean", "REML", character())

# Test and retest ------------------------------------------------------------------------------

n <- 32
truth <- rnorm(n, 5, 1.2)
occasions <- paste0("wave_", 1:3)
scores <- sapply(c(0, 0.4, 0.7), function(shift) round(truth + shift + 0.6 * rnorm(n), 4))
colnames(scores) <- occasions
errors <- sapply(occasions, function(w) round(runif(n, 0.3, 0.9), 4))
colnames(errors) <- paste0("se_", 1:3)
scores[5, 2] <- scores[17, 3] <- NA
waves <- data.frame(place = sprintf("p%02d", 1:n), scores, errors)
write_table(waves, "waves.csv")

retest_case <- function(case, used, confidence, with_errors) {
  x <- as.matrix(waves[used])
  complete <- x[complete.cases(x), ]
  k <- length(used)
  n <- nrow(complete)
  fit <- psych::ICC(complete, lmer = FALSE, alpha = 1 - confidence)
  table <- data.frame(
    y = as.vector(complete), unit = factor(rep(1:n, k)), occasion = factor(rep(1:k, each = n))
  )
  squares <- anova(lm(y ~ unit + occasion, table))[["Mean Sq"]]
  shared <- max((squares[2] - squares[3]) / n, 0)
  z <- qnorm((1 + confidence) / 2)
  paired <- t.test(complete[, k], complete[, 1], paired = TRUE, conf.level = confidence)
  change <- (x[, k] - x[, 1])[complete.cases(x[, c(1, k)])]
  pairs <- length(change)
  tails <- qt(c(1 - confidence, 1 + confidence) / 2, pairs - 1, ncp = z * sqrt(pairs))
  reach <- tails / sqrt(pairs) * sd(change)
  df <- (n - 1) * (k - 1)
  expected <- list(
    icc_agreement = fit$results$ICC[2], icc_consistency = fit$results$ICC[3],
    icc_agreement_ci = c(fit$results$`lower bound`[2], fit$results$`upper bound`[2]),
    icc_consistency_ci = c(fit$results$`lower bound`[3], fit$results$`upper bound`[3]),
    shift = as.numeric(paired$estimate), shift_ci = as.vector(paired$conf.int),
    shift_p = pf(squares[2] / squares[3], k - 1, df, lower.tail = FALSE),
    sem_consistency = sqrt(squares[3]), sem_agreement = sqrt(shared + squares[3]),
    sem_consistency_ci = sqrt(df * squares[3] / qchisq(c(1 + confidence, 1 - confidence) / 2, df)),
    detectable_agreement = z * sqrt(2 * (shared + squares[3])),
    detectable_consistency = z * sqrt(2 * squares[3]),
    limits = mean(change) + c(-1, 1) * z * sd(change),
    upper_limit_ci = mean(change) + reach, lower_limit_ci = mean(change) - rev(reach),
    n_used = n, n_dropped = nrow(x) - n
  )
  inputs <- list(occasions = used, confidence = confidence)
  if (with_errors) {
    inputs$std_errors <- paste0("se_", match(used[c(1, k)], occasions))
    inputs$adjust <- "bh"
    both <- complete.cases(x[, c(1, k)])
    error <- sqrt(rowSums(waves[both, inputs$std_errors]^2))
    p <- 2 * pnorm(-abs(change) / error)
    variance <- rma(change, error^2, method = "PM", control = list(tol = 1e-13))$tau2
    expected$changes <- list(
      p_value = p, beyond = as.vector(p.adjust(p, "BH") < 1 - confidence),
      reliability = mean(variance / (variance + error^2))
    )
  }
  write_case(
    case, "retest", "waves.csv", inputs,
    "psych::ICC(x, lmer = FALSE); t.test(paired = TRUE); anova; qt(ncp); p.adjust; metafor::rma",
    version_of("psych", "metafor"), "exact", 1e-6,
    "Simulated: 32 places, 3 waves, two scores missing. Units lacking an occasion are set aside.",
    expected
  )
}
retest_case("retest-two-waves", occasions[c(1, 3)], 0.95, TRUE)
retest_case("retest-three-waves", occasions, 0.9, FALSE)

# Lonely PSUs ----------------------------------------------------------------------------------

cells <- data.frame(
  place = rep(c("x", "y", "z"), c(7, 6, 5)),
  stratum = c("r", "r", "r", "u", "u", "u", "s", "r", "r", "r", "u", "u", "s", rep("r", 5))
)
size <- sample(2:6, nrow(cells), replace = TRUE)
lonely <- cells[rep(seq_len(nrow(cells)), size), ]
lonely$psu <- rep(seq_len(nrow(cells)), size)
effect <- rnorm(nrow(cells))
lonely$answer <- round(3 + effect[lonely$psu] + rnorm(nrow(lonely)), 4)
lonely$weight <- round(runif(nrow(lonely), 0.5, 2), 4)
write_table(lonely, "lonely.csv")

for (treatment in c("certainty", "adjust", "average")) {
  options(survey.lonely.psu = treatment)
  found <- lapply(c("x", "y", "z"), function(name) {
    own <- lonely[lonely$place == name, ]
    svymean(~answer, svydesign(~psu, strata = ~stratum, weights = ~weight, data = own))
  })
  write_case(
    paste0("lonely-", treatment), "lonely_psu", "lonely.csv",
    list(
      place = "place", stratum = "stratum", psu = "psu", weight = "weight", value = "answer",
      lonely = treatment
    ),
    sprintf("options(survey.lonely.psu = '%s'); svymean(~y, svydesign(...)) by place", treatment),
    version_of("survey"), "exact", 1e-10,
    "Simulated: three places of one to three strata; a stratum of two places has one PSU.",
    list(
      place = c("x", "y", "z"), mean = sapply(found, function(f) as.vector(coef(f))),
      std_error = sapply(found, function(f) as.vector(SE(f)))
    )
  )
}
