# Writes cases of linear mixed models from simulated data, with the numbers of lme4, lmerTest
# and pbkrtest.
#
#   Rscript make_mixed_cases.R        (in this folder; needs lme4, lmerTest, pbkrtest, jsonlite)

suppressPackageStartupMessages({
  library(lmerTest)
  library(pbkrtest)
})
source("common.R")

# The optimiser goes on until nothing changes, so that only rounding is left.
tight <- lmerControl(
  optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 20000),
  check.conv.singular = "ignore", calc.derivs = TRUE
)

components <- function(fit) {
  table <- as.data.frame(VarCorr(fit))
  list(
    grp = table$grp, var1 = table$var1, var2 = table$var2, vcov = table$vcov,
    sdcor = ifelse(is.nan(table$sdcor), NA, table$sdcor)
  )
}

plain <- function(m) {
  m <- as.matrix(m)
  list(
    rows = as.character(seq_len(nrow(m))), cols = paste0("V", seq_len(ncol(m))),
    values = unname(m)
  )
}

tests_of <- function(fit, ddf) {
  table <- summary(fit, ddf = ddf)$coefficients
  take <- function(column) {
    if (nrow(table) == 1) unname(table[1, column]) else named(table[, column])
  }
  list(
    est = take("Estimate"), se = take("Std. Error"), df = take("df"), t = take("t value"),
    p = take("Pr(>|t|)")
  )
}

mixed_case <- function(case, file, table, call, inputs, notes, rel_tol, tolerances = NULL,
                       optional = list()) {
  fit <- function(reml) lmer(as.formula(call), table, REML = reml, control = tight)
  reml <- fit(TRUE)
  ml <- fit(FALSE)
  wanted <- paste(inputs$random_effects_of, collapse = ":")
  modes <- ranef(reml, condVar = TRUE)[[wanted]]
  spread <- attr(modes, "postVar")
  rows <- seq_len(min(inputs$head_rows, nrow(modes)))
  condvar <- if (is.list(spread)) {
    setNames(lapply(spread, function(a) a[, , 1]), names(modes))
  } else {
    plain(matrix(spread[, , 1], nrow = dim(spread)[1]))
  }
  if (!is.null(tolerances)) inputs$tolerances <- tolerances
  write_case(
    case, "mixed_linear", file, inputs,
    paste0("lmerTest::lmer(", call, ", REML = TRUE | FALSE)"),
    version_of("lme4", "lmerTest", "pbkrtest"), "iterative", rel_tol, notes,
    list(
      reml = list(
        fixed_satterthwaite = tests_of(reml, "Satterthwaite"),
        fixed_kenward_roger = tests_of(reml, "Kenward-Roger"),
        varcorr = components(reml),
        deviance_reml = unname(REMLcrit(reml)),
        vcov_fixed = plain(vcov(reml)),
        ranef_first_factor = list(
          levels = rownames(modes)[rows],
          values = c(list(`_row` = rownames(modes)[rows]), as.list(modes[rows, , drop = FALSE]))
        ),
        condvar_first_unit = condvar,
        fitted_head = unname(fitted(reml)[seq_len(inputs$fitted_rows)])
      ),
      ml = list(
        fixed = list(est = named(fixef(ml)), se = named(sqrt(diag(as.matrix(vcov(ml)))))),
        varcorr = components(ml),
        loglik = as.numeric(logLik(ml)), aic = AIC(ml), bic = BIC(ml)
      )
    ),
    optional
  )
}

told <- function(formula, random, of, terms, categorical = setNames(list(), character()),
                 derive = setNames(list(), character())) {
  list(
    derive = derive, formula = formula, random = random, categorical = categorical,
    methods = c("reml", "ml"),
    df = list(fixed_satterthwaite = "satterthwaite", fixed_kenward_roger = "kenward_roger"),
    random_effects_of = I(of), head_rows = 12, fitted_rows = 8, terms = as.list(terms)
  )
}
part <- function(group, formula = "1", correlated = TRUE) {
  list(group = I(group), formula = formula, correlated = correlated)
}

# Unbalanced slopes: 17 districts of 3 to 14 wards ---------------------------------------------

set.seed(20260201)
sizes <- sample(3:14, 17, TRUE)
district <- rep(sprintf("d%02d", 1:17), sizes)
n <- length(district)
u <- matrix(rnorm(34), 17) %*% chol(matrix(c(1, 0.4, 0.4, 0.5), 2))
at <- rep(1:17, sizes)
wards <- data.frame(
  district, tax = round(rnorm(n, 2), 3), urban = sample(c("city", "town", "village"), n, TRUE)
)
wards$score <- round(
  3 + 0.5 * wards$tax + (wards$urban == "city") + u[at, 1] + u[at, 2] * wards$tax + rnorm(n), 4
)
write_table(wards, "wards.csv")
mixed_case(
  "mixed-simulated-slope", "wards.csv",
  transform(wards, urban = factor(urban, c("village", "town", "city")), tax2 = tax^2),
  "score ~ tax + tax2 + urban + (1 + tax | district)",
  told(
    "score ~ tax + tax2 + C(urban)", list(part("district", "1 + tax")), "district",
    c(
      `(Intercept)` = "Intercept", tax = "tax", tax2 = "tax2",
      urbantown = "C(urban)[T.town]", urbancity = "C(urban)[T.city]"
    ),
    list(urban = c("village", "town", "city")), list(tax2 = "tax**2")
  ),
  "Simulated: 17 districts of 3 to 14 wards, intercept and slope vary and are correlated.", 1e-6,
  list(reml.ranef_first_factor = 5e-5)  # differences from 0 of the size of the optimiser's
)
mixed_case(
  "mixed-simulated-uncorrelated", "wards.csv",
  transform(wards, urban = factor(urban, c("village", "town", "city"))),
  "score ~ tax * urban + (1 | district) + (0 + tax | district)",
  told(
    "score ~ tax * C(urban)", list(part("district", "1 + tax", FALSE)), "district",
    c(
      `(Intercept)` = "Intercept", tax = "tax", urbantown = "C(urban)[T.town]",
      urbancity = "C(urban)[T.city]", `tax:urbantown` = "tax:C(urban)[T.town]",
      `tax:urbancity` = "tax:C(urban)[T.city]"
    ),
    list(urban = c("village", "town", "city"))
  ),
  "The same wards: intercept and slope vary independently, an interaction is fixed.", 1e-6,
  list(reml.ranef_first_factor = 5e-5)
)

# Three levels: items in persons in places, with answers missing -------------------------------

set.seed(20260202)
places <- 15
persons <- sample(4:9, places, TRUE)
person <- rep(sequence(persons), each = 4)
place <- rep(rep(1:places, persons), each = 4)
panel <- data.frame(place, person, item = rep(paste0("q", 1:4), sum(persons)))
panel$answer <- round(
  2 + c(0, 0.3, -0.2, 0.5)[as.integer(factor(panel$item))] + rnorm(places, sd = 0.5)[place] +
    rep(rnorm(sum(persons), sd = 0.7), each = 4) + rnorm(nrow(panel), sd = 0.8), 4
)
panel <- panel[-sample(nrow(panel), 60), ]
write_table(panel, "place_items.csv")
mixed_case(
  "mixed-simulated-nested", "place_items.csv",
  transform(panel, item = factor(item)),
  "answer ~ item + (1 | place) + (1 | place:person)",
  told(
    "answer ~ C(item)", list(part("place"), part(c("place", "person"))), "place",
    c(
      `(Intercept)` = "Intercept", itemq2 = "C(item)[T.q2]", itemq3 = "C(item)[T.q3]",
      itemq4 = "C(item)[T.q4]"
    ),
    list(item = paste0("q", 1:4))
  ),
  "Simulated: four items, 4 to 9 persons in each of 15 places, 60 answers blanked.", 1e-6
)

# Crossed: units by coders, unbalanced ---------------------------------------------------------

set.seed(20260203)
grid <- expand.grid(unit = 1:24, coder = paste0("c", 1:6))
grid <- grid[sort(sample(nrow(grid), 110)), ]
grid$rating <- round(
  5 + rnorm(24)[grid$unit] + rnorm(6, sd = 0.6)[as.integer(grid$coder)] +
    rnorm(nrow(grid), sd = 0.9), 4
)
write_table(grid, "unit_ratings.csv")
mixed_case(
  "mixed-simulated-crossed", "unit_ratings.csv", grid,
  "rating ~ 1 + (1 | unit) + (1 | coder)",
  told("rating ~ 1", list(part("unit"), part("coder")), "coder", c(`(Intercept)` = "Intercept")),
  "Simulated: 24 units, 6 coders, 110 of 144 ratings.", 1e-6
)

# On the boundary: groups that do not differ ---------------------------------------------------

set.seed(20260204)
flat <- data.frame(region = rep(letters[1:9], each = 7), x = round(rnorm(63), 3))
flat$y <- round(1 + 0.4 * flat$x + rnorm(63), 4)
flat$y <- round(flat$y - 0.9 * ave(flat$y, flat$region), 4)
write_table(flat, "flat_regions.csv")
mixed_case(
  "mixed-simulated-boundary", "flat_regions.csv", flat,
  "y ~ x + (1 | region)",
  told(
    "y ~ x", list(part("region")), "region", c(`(Intercept)` = "Intercept", x = "x")
  ),
  paste(
    "Simulated: nine regions whose means differ less than chance would make them; the variance",
    "between them is 0."
  ), 1e-6
)

# Intervals of standard deviations by profiled likelihood --------------------------------------

profile_of <- function(call, table) {
  fit <- lmer(as.formula(call), table, REML = FALSE, control = tight)
  suppressWarnings(as.data.frame(
    confint(fit, parm = "theta_", method = "profile", oldNames = FALSE, quiet = TRUE)
  ))
}
intervals <- list(
  slope = profile_of("score ~ tax + (1 + tax | district)", wards),
  nested = profile_of("answer ~ item + (1 | place) + (1 | place:person)", panel),
  crossed = profile_of("rating ~ 1 + (1 | unit) + (1 | coder)", grid)
)
table <- do.call(rbind, lapply(names(intervals), function(name) {
  data.frame(
    model = name, parameter = gsub(",", ".", rownames(intervals[[name]])),
    low = signif(intervals[[name]][[1]], 10), high = signif(intervals[[name]][[2]], 10)
  )
}))
# Where the correlation reaches 1 on the way, lme4's interpolation of its profile is coarse: the
# lower end for the intercepts, from lme4's deviance minimised at each value.
call <- score ~ tax + (1 + tax | district)
fit <- lmer(call, wards, REML = FALSE, control = tight)
profiled <- lmer(call, wards, REML = FALSE, devFunOnly = TRUE)
parts <- environment(profiled)
rise <- function(sd) {
  unprofiled <- function(p) { # slopes' part of the factor, log of the residual deviation
    sigma <- exp(p[3])
    profiled(c(sd / sigma, p[1], p[2]))
    parts$pp$ldL2() + nrow(wards) * log(2 * pi * sigma^2) +
      (parts$resp$wrss() + parts$pp$sqrL(1)) / sigma^2
  }
  least <- function(start) {
    for (again in 1:3) {
      found <- optim(start, unprofiled, control = list(reltol = 1e-15, maxit = 5000))
      start <- found$par
    }
    found$value
  }
  starts <- list(c(0.1, 0.3, 0.15), c(0.6, 0.01, 0.1), c(-0.5, 0.2, 0.1))
  min(sapply(starts, least)) + 2 * as.numeric(logLik(fit))
}
low <- uniroot(function(sd) rise(sd) - qchisq(0.95, 1), c(0.05, 0.3), tol = 1e-9)$root
table <- rbind(table, data.frame(
  model = "slope minimised", parameter = "sd_(Intercept)|district", low = signif(low, 10), high = NA
))
write_table(table, "mixed_profiles.csv")

# Weighted rows ---------------------------------------------------------------------------------

set.seed(20260205)
weighted <- data.frame(
  group = rep(1:10, each = 4), x = round(rnorm(40), 3), weight = round(runif(40, 0.5, 3), 2)
)
weighted$y <- round(
  weighted$x + rnorm(10)[weighted$group] + rnorm(40) / sqrt(weighted$weight), 4
)
write_table(weighted, "weighted_groups.csv")
fit <- lmer(y ~ x + (1 | group), weighted, weights = weight, control = tight)
figures <- c(
  intercept = fixef(fit)[[1]], x = fixef(fit)[[2]], error_x = sqrt(vcov(fit)[2, 2]),
  variance = VarCorr(fit)$group[1], residual = sigma(fit)^2, log_likelihood = logLik(fit)
)
write_table(
  data.frame(figure = names(figures), value = signif(figures, 12)), "weighted_groups_fit.csv"
)
