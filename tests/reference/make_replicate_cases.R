# Writes the cases of replicate weights and of calibration: simulated answers of persons in
# clusters in strata, with missing values, and what R's survey package says of them.
#
#   Rscript make_replicate_cases.R     (in this folder; needs survey, jsonlite)

options(warn = -1)
suppressPackageStartupMessages(library(survey))
source("common.R")

# The sample: 14 strata of two clusters, in regions of 4, 6, 8 and 10 clusters -----------------

set.seed(20260207)
pairs <- rep(1:14, each = 2)
region <- rep(c("coast", "east", "north", "south"), c(4, 6, 8, 10))
rows <- lapply(sample(28), function(cluster) {
  asked <- sample(3:6, 1)
  level <- rnorm(1, sd = 5) + match(region[cluster], unique(region)) * 2
  data.frame(
    pair = sprintf("s%02d", pairs[cluster]), region = region[cluster],
    village = sprintf("v%02d", cluster),
    n.villages = c(coast = 12, east = 50, north = 19, south = 60)[[region[cluster]]],
    weight = round(runif(1, 30, 60) * c(coast = 1, east = 3, north = 1.5, south = 2)[[region[cluster]]], 2),
    level = level, n = asked
  )[rep(1, asked), ]
})
people <- do.call(rbind, rows)
n <- nrow(people)
people$weight <- round(people$weight * runif(n, 0.8, 1.2), 2)
people$same <- 80
people$age <- sample(18:80, n, TRUE)
people$kind <- sample(c("city", "town", "village"), n, TRUE, c(0.5, 0.3, 0.2))
people$class <- sample(1:3, n, TRUE, c(0.5, 0.3, 0.2))
people$head.of <- sample(c("No", "Yes"), n, TRUE)
people$score <- round(50 + people$level + 0.15 * people$age + 4 * people$class + rnorm(n, sd = 7), 2)
people$income <- round(exp(3 + 0.03 * people$level + 0.2 * people$class + rnorm(n, sd = 0.4)), 1)
people$spent <- round(people$income * runif(n, 0.3, 0.9), 1)
people$level <- people$n <- NULL
for (name in c("score", "income", "spent")) people[[name]][sample(n, 8)] <- NA
rownames(people) <- NULL
write_table(people, "replicate_people.csv")
people$kind <- factor(people$kind)
people$class.f <- factor(people$class)

# Replicate weights ---------------------------------------------------------------------------

replicate_case <- function(case, reps, told, method, notes) {
  table <- as.matrix(weights(reps, "analysis"))
  colnames(table) <- sprintf("rw%03d", seq_len(ncol(table)))
  file <- paste0("repw_", sub("-.*", "", sub("^replicates-", "", case)), ".csv")
  write.csv(signif(table, 10), file.path("data", file), row.names = FALSE, quote = FALSE)
  leaf <- function(x) {
    v <- vcov(x)
    list(
      est = named(coef(x)), se = as.list(setNames(SE(x), names(coef(x)))),
      vcov = list(
        rows = as.character(seq_len(nrow(v))), cols = paste0("V", seq_len(ncol(v))),
        values = unname(v)
      )
    )
  }
  mean <- svymean(~ score + income, reps, na.rm = TRUE, deff = TRUE)
  ratio <- svyratio(~spent, ~income, reps, na.rm = TRUE)
  fit <- svyglm(score ~ age + class.f + spent, reps)
  told_fit <- summary(fit)$coefficients
  by <- svyby(~score, ~kind, reps, svymean, na.rm = TRUE)
  names_of <- c("(Intercept)", "age", "class.f2", "class.f3", "spent")
  column <- function(i) as.list(setNames(told_fit[, i], names_of))
  v <- unname(vcov(fit))
  write_case(
    case, "survey_replicate_weights", c("replicate_people.csv", file),
    list(
      design = told, method = method, replicate_file = file, replicate_columns = "all",
      weights = "weight", scale = reps$scale,
      rscales = if (length(unique(reps$rscales)) == 1) reps$rscales[1] else reps$rscales,
      centre = if (isTRUE(reps$mse)) "full_sample_estimate" else "mean_of_replicates",
      mean = c("score", "income"), total = I("spent"),
      ratio = list(numerator = "spent", denominator = "income"),
      regression = "score ~ age + C(class) + spent", by = list(variable = "score", domain = "kind"),
      terms = list(
        `(Intercept)` = "Intercept", age = "age", class.f2 = "C(class)[T.2]",
        class.f3 = "C(class)[T.3]", spent = "spent"
      ),
      missing = "drop_for_that_statistic"
    ),
    "as.svrepdesign(design, type); svymean, svytotal, svyratio, svyglm, svyby",
    version_of("survey"), "exact", 1e-7, notes,
    list(
      scale = reps$scale, rscales = reps$rscales, mse = isTRUE(reps$mse), degf = degf(reps),
      mean = c(leaf(mean), list(deff = unname(deff(mean)))),
      total = leaf(svytotal(~spent, reps, na.rm = TRUE)),
      ratio = list(est = ratio$ratio[1], se = SE(ratio)[1]),
      glm = list(
        coef = column(1), se = column(2), t = column(3), p = column(4),
        df_resid = fit$df.residual,
        vcov = list(rows = as.character(1:5), cols = paste0("V", 1:5), values = v)
      ),
      by = list(levels = as.character(by$kind), mean = unname(coef(by)), se = unname(SE(by)))
    ),
    optional = I(c("scale", "rscales", "mse"))
  )
}

told <- function(strata, population = NULL) {
  list(
    weights = "weight", strata = if (is.null(strata)) NA else strata,
    stages = list(list(
      unit = "village", population = if (is.null(population)) NA else population
    )), nested = FALSE
  )
}
paired <- svydesign(id = ~village, strata = ~pair, weights = ~weight, data = people)
regions <- svydesign(
  id = ~village, strata = ~region, weights = ~weight, fpc = ~n.villages, data = people
)
free <- svydesign(id = ~village, weights = ~weight, data = people)

replicate_case(
  "replicates-brr", as.svrepdesign(paired, type = "BRR", compress = FALSE), told("pair"), "brr",
  "Balanced repeated replication, 14 strata of two villages; the matrix is replicate_hadamard.csv."
)
write_table(data.frame(t(hadamard(14))), "replicate_hadamard.csv")
replicate_case(
  "replicates-fay",
  as.svrepdesign(paired, type = "Fay", fay.rho = 0.3, compress = FALSE, mse = TRUE),
  told("pair"), "fay", "Fay's method, rho 0.3."
)
replicate_case(
  "replicates-jkn", as.svrepdesign(regions, type = "JKn", compress = FALSE, mse = TRUE),
  told("region", "n.villages"), "jackknife_jkn",
  "Stratified jackknife with finite populations, centred at the estimate."
)
replicate_case(
  "replicates-jkn-mean", as.svrepdesign(regions, type = "JKn", compress = FALSE),
  told("region", "n.villages"), "jackknife_jkn",
  "Stratified jackknife with finite populations, centred at the mean of the replicates."
)
replicate_case(
  "replicates-jk1", as.svrepdesign(free, type = "JK1", compress = FALSE, mse = TRUE),
  told(NULL), "jackknife_jk1", "Delete-one-cluster jackknife."
)
replicate_case(
  "replicates-subbootstrap",
  as.svrepdesign(regions, type = "subbootstrap", replicates = 40, compress = FALSE),
  told("region"), "subbootstrap",
  "Rao and Wu's bootstrap of one village fewer a stratum; R leaves out finite populations."
)
replicate_case(
  "replicates-bootstrap",
  as.svrepdesign(regions, type = "bootstrap", replicates = 40, compress = FALSE, mse = TRUE),
  told("region", "n.villages"), "bootstrap_canty_davison",
  "Canty and Davison's bootstrap with finite populations."
)

# Calibration ----------------------------------------------------------------------------------

counts <- list(
  kind = c(city = 7000, town = 4300, village = 2700), class = c(`1` = 6600, `2` = 4400, `3` = 3000),
  head.of = c(No = 6500, Yes = 7500)
)
as_counts <- function(name, column = name) {
  made <- data.frame(names(counts[[name]]), unname(counts[[name]]))
  names(made) <- c(column, "Freq")
  made
}
bounds <- c(0.4, 2.5)

calibration_case <- function(case, design, told, notes) {
  strict <- list(maxit = 500, epsilon = 1e-10)
  by_kind <- postStratify(design, ~kind, as_counts("kind"))
  raked <- rake(
    design, list(~kind, ~class, ~head.of),
    list(as_counts("kind"), as_counts("class"), as_counts("head.of")), control = strict
  )
  totals <- c(`(Intercept)` = 14000, kindtown = 4300, kindvillage = 2700, age = 14000 * 47.5)
  fit <- function(kind, ...) {
    calibrate(design, ~ kind + age, totals, calfun = kind, epsilon = 1e-11, maxit = 100, ...)
  }
  leaf <- function(x) {
    v <- vcov(x)
    list(
      est = named(coef(x)), se = as.list(setNames(SE(x), names(coef(x)))),
      vcov = list(
        rows = as.character(seq_len(nrow(v))), cols = paste0("V", seq_len(ncol(v))),
        values = unname(as.matrix(v))
      )
    )
  }
  all_of <- function(d) {
    list(
      mean = leaf(svymean(~ score + income, d, na.rm = TRUE)),
      total = leaf(svytotal(~spent, d, na.rm = TRUE)),
      weights_head = unname(head(weights(d), 20))
    )
  }
  write_case(
    case, "survey_calibration", "replicate_people.csv",
    list(
      design = told, mean = c("score", "income"), total = "spent",
      poststratify = list(kind = as.list(counts$kind)),
      rake = lapply(names(counts), function(name) setNames(list(as.list(counts[[name]])), name)),
      calibrate = list(
        formula = "~ kind + age",
        totals = list(
          Intercept = 14000, `kind[T.town]` = 4300, `kind[T.village]` = 2700, age = 14000 * 47.5
        )
      ),
      distance = list(greg = "linear", calibrate_raking = "raking", bounded = "logit"),
      bounds = bounds, missing = "drop_for_that_statistic", head_rows = 20
    ),
    "postStratify(~kind); rake(~kind, ~class, ~head.of); calibrate(~kind + age, linear, raking, logit)",
    version_of("survey"), "iterative", 1e-7, notes,
    list(
      poststratify = all_of(by_kind), rake = all_of(raked), greg = all_of(fit("linear")),
      calibrate_raking = all_of(fit("raking")), bounded = all_of(fit("logit", bounds = bounds))
    )
  )
}

calibration_case(
  "calibration-regions", regions, told("region", "n.villages"),
  "Villages in regions, finite populations, unequal weights."
)
calibration_case(
  "calibration-persons",
  svydesign(id = ~village, strata = ~pair, weights = ~same, data = people),
  list(
    weights = "same", strata = "pair", stages = list(list(unit = "village", population = NA)),
    nested = FALSE
  ),
  "Equal weights, which R's rake() takes in its errors whatever they are."
)
