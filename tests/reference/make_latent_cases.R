# Writes cases of factor and structural equation models, from simulated answers.
#
#   Rscript make_latent_cases.R        (in this folder; needs lavaan, jsonlite)

suppressPackageStartupMessages(library(lavaan))
source("common.R")

set.seed(20261125)
n <- 420
village <- rep(1:42, each = 10)
region <- rep(c("north", "south", "west"), each = 140)
w <- round(rnorm(n), 3)
shift <- rnorm(42, sd = 0.5)[village]
f <- 0.5 * w + shift + rnorm(n) * rexp(n)^0.3 + 0.3 * (region == "west")
g <- 0.4 * f + 0.3 * w + rnorm(n)
items <- cbind(
  f + rnorm(n, sd = 0.8), 0.8 * f + rnorm(n), 1.1 * f + rnorm(n), 0.6 * f + 0.2 * g + rnorm(n),
  g + rnorm(n, sd = 0.7), 0.9 * g + rnorm(n), 0.7 * g + rt(n, 5) + 0.4 * (region == "west")
)
items <- round(items, 4)
names <- paste0("x", 1:7)
whole <- data.frame(items, w, region, village)
names(whole) <- c(names, "w", "region", "village")
write_table(whole, "latent.csv")
gaps <- whole
gaps$x2[gaps$x1 > 0.8 & runif(n) < 0.6] <- NA
gaps$x6[runif(n) < 0.1] <- NA
gaps$x4[gaps$x5 < -0.5 & runif(n) < 0.5] <- NA
write_table(gaps, "latent_gaps.csv")
ordered <- whole
for (name in names) {
  cuts <- if (name %in% c("x1", "x5")) 0.3 else if (name == "x3") c(-1, -0.2, 0.4, 1.2) else c(-0.5, 0.7)
  ordered[[name]] <- as.integer(cut(whole[[name]], c(-Inf, cuts, Inf)))
}
write_table(ordered, "latent_ordered.csv")

two <- "f =~ x1 + x2 + x3 + x4\ng =~ x5 + x6 + x7"
source_text <- "Simulated answers; a cause, clustered respondents, heavy tails."
tolerances <- list(estimates = 5e-4, estimates.pvalue = 5e-3)
wanted <- c(
  "npar", "chisq", "df", "pvalue", "baseline.chisq", "baseline.df", "cfi", "tli", "rmsea",
  "rmsea.ci.lower", "rmsea.ci.upper", "rmsea.pvalue", "srmr"
)
likely <- c("logl", "aic", "bic")
scaled <- c(
  "chisq.scaled", "df.scaled", "pvalue.scaled", "chisq.scaling.factor", "cfi.scaled",
  "tli.scaled", "rmsea.scaled"
)
robust <- c("cfi.robust", "tli.robust", "rmsea.robust")
fit_of <- function(fit, measures) as.list(unclass(fitMeasures(fit, measures)))
table_of <- function(fit) {
  found <- parameterEstimates(fit, standardized = TRUE, remove.nonfree = FALSE)
  as.list(found[c("lhs", "op", "rhs", "est", "se", "z", "pvalue", "std.lv", "std.all")])
}
matrix_of <- function(x) {
  x <- unclass(as.matrix(x))
  list(rows = I(as.character(seq_len(nrow(x)))), cols = I(colnames(x)), values = unname(x))
}
common <- function(model, ...) {
  list(model = model, items = names, missing = "listwise", complete_on = names,
       tolerances = tolerances, ...)
}
write <- function(case, capability, data, inputs, call, expected) {
  write_case(case, capability, data, inputs, call, version_of("lavaan"), "iterative", 1e-4,
             source_text, expected)
}

# Maximum likelihood -------------------------------------------------------------------------

model <- paste0(two, "\nx4 ~~ x5\nx1 ~~ a*x1\nx2 ~~ a*x2")
fit <- cfa(model, whole)
top <- subset(modindices(fit, sort. = TRUE), op %in% c("=~", "~~"))[1:5, ]
write(
  "latent-cfa-ml", "cfa_ml", "latent.csv", common(model, head_rows = 5, modification_indices = 5),
  "lavaan::cfa(model, data)",
  list(
    nobs = n, fit = fit_of(fit, c(wanted, likely)), estimates = table_of(fit),
    scores_regression_head = matrix_of(lavPredict(fit)[1:5, ]),
    scores_bartlett_head = matrix_of(lavPredict(fit, method = "Bartlett")[1:5, ]),
    modindices_top = as.list(top[c("lhs", "op", "rhs", "mi", "epc")])
  )
)

model <- "f =~ x1 + b*x2 + b*x3 + x4\ng =~ NA*x5 + x6 + c*x7\ng ~~ 1*g\nf ~ p*w\ng ~ q*f + w\nthrough := p*q\nratio := sqrt(b)/(1+c^2)"
fit <- sem(model, whole)
inputs <- common(model, head_rows = 5)
inputs$items <- c(names, "w")
inputs$complete_on <- inputs$items
write(
  "latent-sem-ml", "sem_ml", "latent.csv", inputs, "lavaan::sem(model, data)",
  list(
    nobs = n, fit = fit_of(fit, c(wanted, likely)), estimates = table_of(fit),
    R2 = as.list(unclass(lavInspect(fit, "rsquare")))
  )
)

# Robust, clustered, incomplete -----------------------------------------------------------------

fit <- cfa(two, whole, estimator = "MLR")
write(
  "latent-cfa-mlr", "cfa_mlr", "latent.csv", common(two), "lavaan::cfa(model, data, estimator = 'MLR')",
  list(nobs = n, fit = fit_of(fit, c(wanted, likely, scaled, robust)), estimates = table_of(fit))
)
fit <- cfa(two, whole, estimator = "MLR", cluster = "village")
write(
  "latent-cfa-clusters", "cfa_mlr", "latent.csv", common(two, cluster = "village"),
  "lavaan::cfa(model, data, estimator = 'MLR', cluster = 'village')",
  list(nobs = n, fit = fit_of(fit, c(wanted, likely, scaled, robust)), estimates = table_of(fit))
)
inputs <- common(two)
inputs$missing <- "fiml"
inputs["complete_on"] <- list(NULL)
fit <- cfa(two, gaps, missing = "fiml")
write(
  "latent-cfa-fiml", "cfa_fiml", "latent_gaps.csv", inputs, "lavaan::cfa(model, data, missing = 'fiml')",
  list(nobs = n, fit = fit_of(fit, c(wanted, likely)), estimates = table_of(fit))
)

# Groups ----------------------------------------------------------------------------------------

steps <- list(
  configural = character(), metric = "loadings", scalar = c("loadings", "intercepts"),
  strict = c("loadings", "intercepts", "residuals")
)
fits <- lapply(steps, function(equal) {
  cfa(two, whole, group = "region", group.equal = if (length(equal)) equal else "")
})
test <- do.call(lavTestLRT, unname(fits))
found <- parameterEstimates(fits$scalar, standardized = TRUE, remove.nonfree = FALSE)
means <- lapply(lavInspect(fits$scalar, "mean.lv"), function(x) as.list(unclass(x)))
inputs <- common(two)
inputs$complete_on <- NULL
inputs$tolerances <- list(scalar_estimates = 5e-4, scalar_estimates.pvalue = 5e-3, scalar_latent_means = 5e-4)
inputs <- c(inputs, list(
  complete_on = c(names, "region"), group = "region", group_order = c("north", "south", "west"),
  steps = lapply(names(steps), function(name) list(name = name, equal = I(steps[[name]])))
))
write(
  "latent-invariance", "measurement_invariance", "latent.csv", inputs,
  "lavaan::cfa(model, data, group = 'region', group.equal = ...); lavTestLRT",
  list(
    group_order = c("north", "south", "west"),
    fits = lapply(fits, fit_of, measures = c(wanted, likely)),
    lrt = as.list(as.data.frame(test)[c("Df", "AIC", "BIC", "Chisq", "Chisq diff", "Df diff", "Pr(>Chisq)")]),
    scalar_estimates = as.list(found[c("lhs", "op", "rhs", "group", "est", "se", "z", "pvalue", "std.lv", "std.all")]),
    scalar_latent_means = means
  )
)

# Ordered answers ---------------------------------------------------------------------------------

fit <- cfa(two, ordered[names], ordered = TRUE, estimator = "WLSMV")
cuts <- lavInspect(fit, "sampstat")
rho <- unclass(cuts$cov)
found <- table_of(fit)
found$z <- found$pvalue <- NULL
write(
  "latent-cfa-wlsmv", "cfa_wlsmv", "latent_ordered.csv", common(two),
  "lavaan::cfa(model, data, ordered = TRUE, estimator = 'WLSMV')",
  list(
    nobs = n, fit = fit_of(fit, c(wanted, scaled)), estimates = found,
    thresholds = as.list(unclass(cuts$th)),
    polychoric = list(rows = I(names), cols = I(names), values = unname(rho))
  )
)
