# Writes data/*.csv and cases/*.json in this folder from simulated data, a published table and
# the tables that ship with the project, with the numbers that established R packages return.
#
#   Rscript make_cases.R        (in this folder; needs psych, lavaan, plm, clubSandwich,
#                               lme4, metafor, jsonlite)
#
# The same R and the same versions of the packages write the same bytes.

suppressPackageStartupMessages({
  library(psych)
  library(lavaan)
  library(plm)
  library(clubSandwich)
  library(metafor)
})
source("common.R")

# Coefficient alpha --------------------------------------------------------------------------

alpha_case <- function(case, file, table, items, reverse, missing, source) {
  x <- table[items]
  for (item in names(reverse)) x[[item]] <- sum(reverse[[item]]) - x[[item]]
  if (missing == "listwise") x <- x[complete.cases(x), ]
  fit <- psych::alpha(x, check.keys = FALSE, warnings = FALSE)
  total <- fit$total
  rownames(total) <- NULL
  drop <- fit$alpha.drop
  write_case(
    case, "cronbach_alpha", file,
    list(
      items = items, reverse = if (length(reverse)) reverse else setNames(list(), character()),
      missing = missing, complete_on = if (missing == "listwise") items else NULL,
      confidence = 0.95
    ),
    "psych::alpha(x, check.keys = FALSE)", version_of("psych"), "exact", 1e-8,
    paste(source, "Feldt limits and ase with n = all rows of the table used."),
    list(
      total = as.list(total[c(
        "raw_alpha", "std.alpha", "G6(smc)", "average_r", "ase", "mean", "sd", "median_r"
      )]),
      feldt = list(
        lower = fit$feldt$lower.ci[[1]], alpha = fit$feldt$alpha[[1]],
        upper = fit$feldt$upper.ci[[1]]
      ),
      alpha_drop = columns(drop[setdiff(names(drop), "S/N")]),
      item_stats = columns(fit$item.stats[c("n", "raw.r", "std.r", "r.drop", "mean", "sd")]),
      n = nrow(x)
    )
  )
}

set.seed(20260101)
persons <- 120
trait <- rnorm(persons)
loadings <- c(0.9, 0.75, 0.6, -0.7, 0.5, 0.8)
answers <- sapply(loadings, function(l) {
  cut <- round(3.5 + 1.1 * (l * trait + sqrt(1 - l^2) * rnorm(persons)))
  pmin(pmax(cut, 1), 6)
})
answers <- as.data.frame(answers)
names(answers) <- paste0("q", 1:6)
for (item in names(answers)) answers[[item]][sample(persons, 5)] <- NA
write_table(answers, "six_items.csv")

simulated <- paste(
  "Simulated: 120 persons, one trait, six items cut to 1..6, q4 turned round, five answers to",
  "each item blanked at random."
)
for (missing in c("listwise", "pairwise")) {
  alpha_case(
    paste0("alpha-simulated-", missing), "six_items.csv", answers, names(answers),
    list(q4 = c(1, 6)), missing, simulated
  )
}

tai <- read.csv("../../data/tai.csv")
alpha_case(
  "alpha-tai", "tai.csv", tai, c("internet", "telephones", "electricity", "schooling"),
  list(), "listwise",
  "Four indicators of the Technology Achievement Index, 23 countries, in their own units."
)

judges <- data.frame(
  j1 = c(9, 6, 8, 7, 10, 6), j2 = c(2, 1, 4, 1, 5, 2),
  j3 = c(5, 3, 6, 2, 6, 4), j4 = c(8, 2, 8, 6, 9, 7)
)
write_table(judges, "six_targets.csv")
write_case(
  "alpha-six-targets", "cronbach_alpha", "six_targets.csv",
  list(
    items = names(judges), reverse = setNames(list(), character()), missing = "listwise",
    complete_on = names(judges), confidence = 0.95, rounding = list(total.raw_alpha = list(decimals = 2))
  ),
  "ICC(3,4) of the table, which is coefficient alpha",
  "Shrout, P. E., and Fleiss, J. L. (1979). Psychological Bulletin, 86, 420-428", "exact", 1e-8,
  "Six targets rated by four judges (table 2); ICC(3,k) is published with two decimals (table 4).",
  list(total = list(raw_alpha = 0.91))
)

# One-factor omega ---------------------------------------------------------------------------

omega_case <- function(case, file, table, items, reverse, source) {
  x <- table[items]
  for (item in names(reverse)) x[[item]] <- sum(reverse[[item]]) - x[[item]]
  x <- x[complete.cases(x), ]
  minres <- psych::fa(x, 1, fm = "minres")
  ml <- psych::fa(x, 1, fm = "ml")
  sign_of <- function(fit) named(fit$loadings[, 1] * sign(sum(fit$loadings[, 1])))
  model <- paste("f =~", paste(items, collapse = " + "))
  cfa <- lavaan::cfa(model, x, std.lv = TRUE)
  est <- lavaan::lavInspect(cfa, "est")
  lambda <- est$lambda[, 1]
  theta <- diag(est$theta)
  standard <- lavaan::lavInspect(cfa, "std")$lambda[, 1]
  write_case(
    case, "omega_one_factor", file,
    list(
      items = items, reverse = if (length(reverse)) reverse else setNames(list(), character()),
      missing = "listwise", complete_on = items, factors = 1,
      extraction = list(loadings_minres = "minres", loadings_ml = "ml"),
      omega_total_from = "minres",
      cfa = list(estimator = "ML", identification = "latent_variance_1", divisor = "n")
    ),
    paste(
      "psych::fa(x, 1, fm = 'minres' | 'ml'); 1 - sum(uniquenesses) / sum(R);",
      "lavaan::cfa('f =~ items', x, std.lv = TRUE)"
    ),
    version_of("psych", "lavaan"), "iterative", 1e-4, source,
    list(
      loadings_minres = sign_of(minres), loadings_ml = sign_of(ml),
      omega_total = 1 - sum(minres$uniquenesses) / sum(cor(x)),
      omega_cfa_raw = sum(lambda)^2 / (sum(lambda)^2 + sum(theta)),
      cfa_loadings = named(lambda), cfa_residual_var = named(theta), AVE_std = mean(standard^2)
    )
  )
}

omega_case(
  "omega-simulated", "six_items.csv", answers, names(answers), list(q4 = c(1, 6)), simulated
)

# Lower bounds, split halves, ordered answers, disattenuation ----------------------------------

turned <- answers
turned$q4 <- 7 - turned$q4
whole <- turned[complete.cases(turned), ]
six <- names(whole)

split_values <- function(R) {
  k <- ncol(R)
  halves <- combn(k, k %/% 2)
  if (k %% 2 == 0) halves <- halves[, halves[1, ] == 1, drop = FALSE]
  sort(apply(halves, 2, function(a) 4 * sum(R[a, -a]) / sum(R)))
}

bounds_of <- function(x) {
  found <- psych::guttman(x)
  R <- cor(x)
  list(
    lambda1 = found$lambda.1, lambda2 = found$lambda.2, lambda3 = found$lambda.3,
    lambda5 = found$lambda.5, lambda6 = found$lambda.6,
    tenberge = as.list(found$tenberge[c("mu0", "mu1", "mu2", "mu3")]),
    average_item_r = mean(R[lower.tri(R)]), median_item_r = median(R[lower.tri(R)])
  )
}

item_inputs <- function(items, more) {
  c(list(items = items, reverse = list(q4 = c(1, 6)), missing = "listwise", complete_on = six), more)
}

five <- whole[six[1:5]]
halves <- split_values(cor(five))
write_case(
  "guttman-simulated", "guttman_lambdas", "six_items.csv",
  item_inputs(six[1:5], list(matrix = "correlation", splits = "all")),
  "psych::guttman(x); 4 * sum(R[a, -a]) / sum(R) for every half a", version_of("psych"), "exact",
  1e-9, paste(simulated, "Five items, so that halves have two and three."),
  c(bounds_of(five), list(
    lambda4 = max(halves), split_max = max(halves), split_min = min(halves),
    split_mean = mean(halves), split_median = median(halves), split_all_sorted = halves,
    split_n = length(halves)
  ))
)

halves <- split_values(cor(whole))
found <- bounds_of(whole)
write_case(
  "splits-simulated", "split_half", "six_items.csv",
  item_inputs(six, list(matrix = "correlation", splits = "all")),
  "psych::guttman(x); 4 * sum(R[a, -a]) / sum(R) for every half a", version_of("psych"), "exact",
  1e-9, simulated,
  list(
    max = max(halves), min = min(halves), mean = mean(halves), n_splits = length(halves),
    median = median(halves), quantiles_05_95 = unname(quantile(halves, c(0.05, 0.95))),
    alpha = found$lambda3, lambda2 = found$lambda2, lambda4 = max(halves),
    lambda5 = found$lambda5, lambda6 = found$lambda6, tenberge = found$tenberge,
    average_item_r = found$average_item_r
  )
)

full <- six[sapply(whole, function(item) length(unique(item)) == 6)]
ordered_fit <- lavaan::lavCor(whole[full], ordered = full, output = "fit")
rho <- unclass(lavaan::lavInspect(ordered_fit, "sampstat")$cov)
cuts <- lavaan::lavInspect(ordered_fit, "sampstat")$th
factor_fit <- psych::fa(rho, 1, fm = "minres")
write_case(
  "polychoric-simulated", "polychoric_alpha_omega", "six_items.csv",
  item_inputs(full, list(
    categories = 1:6, estimation = "two_step", empty_cell_value = NULL, factors = 1,
    extraction = "minres", tolerances = list(ordinal_omega_total = 1e-4)
  )),
  paste(
    "lavaan::lavCor(x, ordered = names(x)); psych::alpha(rho)$total$std.alpha;",
    "1 - sum(psych::fa(rho, 1)$uniquenesses) / sum(rho)"
  ),
  version_of("lavaan", "psych"), "iterative", 1e-6,
  paste(
    simulated, "The items of which every answer occurs. Two steps: thresholds from the margins;",
    "empty cells stay empty."
  ),
  list(
    rho = list(rows = full, cols = full, values = unname(rho)),
    tau = list(
      rows = full, cols = as.character(1:5),
      values = unname(matrix(cuts, ncol = 5, byrow = TRUE))
    ),
    ordinal_alpha = psych::alpha(rho, warnings = FALSE)$total$std.alpha,
    ordinal_omega_total = 1 - sum(factor_fit$uniquenesses) / sum(rho)
  )
)

scales <- list(first = six[1:3], second = six[4:6])
scored <- psych::scoreItems(
  list(first = six[1:3], second = c("-q4", "q5", "q6")), answers, impute = "none", min = 1, max = 6
)
matrix_of <- function(x) {
  list(rows = rownames(x), cols = colnames(x), values = unname(unclass(x)))
}
write_case(
  "attenuation-simulated", "disattenuated_correlation", "six_items.csv",
  list(
    scales = scales, reverse = list(q4 = c(1, 6)), missing = "pairwise",
    score = "mean_of_answered", head_rows = 10
  ),
  "psych::scoreItems(keys, x, impute = 'none')", version_of("psych"), "exact", 1e-8,
  paste(simulated, "Observed correlations are of sums, from the pairwise covariances of items."),
  list(
    alpha = as.list(scored$alpha[1, ]), cor = matrix_of(scored$cor),
    corrected = matrix_of(scored$corrected), av_r = as.list(scored$av.r[1, ]),
    scores_head = list(
      rows = as.character(1:10), cols = colnames(scored$scores),
      values = unname(scored$scores[1:10, ])
    )
  )
)

# Panel with fixed effects -------------------------------------------------------------------

set.seed(20260102)
panel <- expand.grid(year = 2010:2017, unit = sprintf("u%02d", 1:25))
panel$share <- round(runif(nrow(panel)) + rep(rnorm(25, sd = 0.3), each = 8), 4)
panel$size <- round(rnorm(nrow(panel)) + rep(rnorm(25), each = 8), 4)
panel$score <- round(
  0.8 * panel$share - 0.3 * panel$size + rep(rnorm(25), each = 8) +
    0.1 * (panel$year - 2010) + rnorm(nrow(panel), sd = 0.5), 4
)
panel <- panel[-sort(sample(nrow(panel), 45)), c("unit", "year", "score", "share", "size")]
panel$region <- paste0("r", as.integer(factor(panel$unit)) %% 7)
rownames(panel) <- NULL
write_table(panel, "small_panel.csv")
small_panel <- paste(
  "Simulated: 25 units, 8 years, 45 of the 200 rows removed at random; region holds whole units."
)

slopes <- function(fit) {
  table <- summary(fit)$coefficients
  list(
    coef = named(table[, 1]), se = named(table[, 2]), stat = named(table[, 3]),
    p = named(table[, 4])
  )
}
within <- function(effect) {
  plm(score ~ share + size, panel, index = c("unit", "year"), model = "within", effect = effect)
}
full <- function(fit) {
  c(slopes(fit), list(
    r2 = unname(summary(fit)$r.squared), rss = deviance(fit), df_resid = fit$df.residual
  ))
}
test <- function(fit, pooled) {
  found <- pFtest(fit, pooled)
  list(
    stat = unname(found$statistic), df = unname(found$parameter), p = unname(found$p.value)
  )
}
pooled <- plm(score ~ share + size, panel, index = c("unit", "year"), model = "pooling")
individual <- within("individual")
twoways <- within("twoways")
effects_of_units <- fixef(individual)
write_case(
  "panel-fe-simulated", "panel_fixed_effects", "small_panel.csv",
  list(
    derive = setNames(list(), character()), unit = "unit", time = "year", outcome = "score",
    regressors = c("share", "size"), effects = c("individual", "time", "twoways")
  ),
  "plm::plm(score ~ share + size, model = 'within', effect = ...); fixef; pFtest",
  version_of("plm"), "exact", 1e-7, small_panel,
  list(
    n = nrow(panel), individual = full(individual), time = slopes(within("time")),
    twoways = full(twoways), fixef_individual = as.list(setNames(
      as.numeric(effects_of_units), names(effects_of_units)
    )),
    within_intercept = as.numeric(within_intercept(individual)),
    pFtest_individual = test(individual, pooled), pFtest_twoways = test(twoways, pooled)
  )
)

# Clusters: CR2 and Satterthwaite --------------------------------------------------------------

cluster_case <- function(case, file, model, table, cluster, terms, inputs, source,
                         types = c("CR0", "CR1", "CR1S", "CR2"), wald_types = c("CR1", "CR2")) {
  rows <- match(terms, names(coef(model)))
  tests <- lapply(setNames(types, types), function(type) {
    found <- coef_test(model, vcov = type, cluster = table[[cluster]], test = "Satterthwaite")[rows, ]
    list(
      term = terms, beta = found$beta, se = found$SE, t = found$tstat, df = found$df_Satt,
      p = found$p_Satt
    )
  })
  joint <- lapply(setNames(wald_types, wald_types), function(type) {
    found <- Wald_test(
      model, constrain_zero(rows), vcov = type, cluster = table[[cluster]], test = "HTZ"
    )
    list(
      Fstat = found$Fstat, df_num = found$df_num, df_denom = found$df_denom, p_val = found$p_val
    )
  })
  write_case(
    case, "cluster_small_sample", file,
    c(inputs, list(
      types = types, wald_types = wald_types, df = "satterthwaite", wald = "HTZ"
    )),
    paste(
      "clubSandwich::coef_test(lm(with dummies), vcov = types, cluster, test = 'Satterthwaite');",
      "Wald_test(constrain_zero(slopes), test = 'HTZ')"
    ),
    version_of("clubSandwich"), "exact", 1e-6, source,
    list(coef_tests = tests, wald_htz = joint)
  )
}

panel$year_text <- factor(panel$year)
for (cluster in c("unit", "region")) {
  cluster_case(
    paste0("cluster-simulated-", cluster), "small_panel.csv",
    lm(score ~ share + size + factor(unit) + year_text, panel), panel, cluster,
    c("share", "size"),
    list(
      derive = setNames(list(), character()), unit = "unit", time = "year", outcome = "score",
      regressors = c("share", "size"), cluster = cluster, dummies = c("unit", "time"),
      formula = "score ~ share + size + C(unit) + C(year)"
    ),
    small_panel
  )
}

regions <- read.csv("../../data/eu_regions.csv")
regions$log_gdp <- log(regions$gdp_per_head)
regions <- regions[complete.cases(regions[c("eqi", "local_autonomy", "log_gdp")]), ]
cluster_case(
  "cluster-eu-regions", "eu_regions.csv", lm(eqi ~ local_autonomy + log_gdp, regions), regions,
  "country", c("local_autonomy", "log_gdp"),
  list(
    derive = list(log_gdp = "log(gdp_per_head)"), unit = "region_code", time = NULL,
    outcome = "eqi", regressors = c("local_autonomy", "log_gdp"), cluster = "country",
    dummies = list(), formula = "eqi ~ local_autonomy + log_gdp"
  ),
  "Regions of the European Union with a known product per head, clustered by country; no effects."
)

hromadas <- read.csv("../../data/ukraine_hromadas.csv", na.strings = "")
hromadas$log_population <- log(hromadas$population)
slopes_of <- c("own_revenue_share", "log_population", "urban_share", "travel_time")
hromadas <- hromadas[complete.cases(hromadas[c("exam_mathematics", slopes_of)]), ]
cluster_case(
  "cluster-hromadas", "ukraine_hromadas.csv",
  lm(reformulate(c(slopes_of, "oblast", "type"), "exam_mathematics"), hromadas), hromadas,
  "oblast", slopes_of,
  list(
    derive = list(log_population = "log(population)"), unit = "oblast", time = "type",
    outcome = "exam_mathematics", regressors = slopes_of, cluster = "oblast",
    dummies = c("unit", "time"),
    formula = paste(
      "exam_mathematics ~", paste(slopes_of, collapse = " + "), "+ C(oblast) + C(type)"
    )
  ),
  paste(
    "Hromadas with a mathematics mean and all controls; effects of oblast, which are the clusters,",
    "and of type, which cross them."
  )
)

provinces <- read.csv("../../data/vietnam_provinces.csv", na.strings = "")
parts_of <- c("participation", "transparency", "corruption_control", "procedures", "services")
provinces$score <- rowSums(provinces[parts_of])
provinces$year_text <- factor(provinces$year)
provinces <- provinces[complete.cases(provinces[c("score", "own_share_plan")]), ]
cluster_case(
  "cluster-vietnam-provinces", "vietnam_provinces.csv",
  lm(score ~ own_share_plan + province + year_text, provinces), provinces, "province",
  "own_share_plan",
  list(
    derive = list(score = paste(parts_of, collapse = " + ")), unit = "province", time = "year",
    outcome = "score", regressors = I("own_share_plan"), cluster = "province",
    dummies = c("unit", "time"), formula = "score ~ own_share_plan + C(province) + C(year)"
  ),
  "Provinces of Viet Nam, sum of five published dimensions; effects of provinces and of years.",
  wald_types = character()
)

cities <- read.csv("../../data/russia_cities.csv", na.strings = "")
kinds_of <- paste0("share_", c("state_assignment", "service_quality", "service_volume", "budget_plan"))
cities$score <- rowMeans(cities[kinds_of])
cities$city_code <- factor(cities$oktmo)
cities$year_text <- factor(cities$year)
cities <- cities[complete.cases(cities[c("score", "own_share")]), ]
cluster_case(
  "cluster-russia-cities", "russia_cities.csv",
  lm(score ~ own_share + city_code + year_text, cities), cities, "region", "own_share",
  list(
    derive = list(score = paste0("(", paste(kinds_of, collapse = " + "), ") / 4")),
    unit = "oktmo", time = "year", outcome = "score", regressors = I("own_share"),
    cluster = "region", dummies = c("unit", "time"),
    formula = "score ~ own_share + C(oktmo) + C(year)"
  ),
  paste(
    "Large cities of Russia, duplicated rows included; effects of cities, which lie within the",
    "clusters, and of years, which cross them."
  ),
  wald_types = character()
)

# Meta-analysis --------------------------------------------------------------------------------

set.seed(20260103)
slopes_of_settings <- data.frame(setting = letters[1:9], reform = round(runif(9), 3))
slopes_of_settings$variance <- round(exp(rnorm(9, -3, 0.8)), 5)
slopes_of_settings$slope <- round(
  0.2 + 0.3 * slopes_of_settings$reform + rnorm(9, sd = sqrt(slopes_of_settings$variance + 0.1)), 4
)
write_table(slopes_of_settings, "settings.csv")

threshold <- 1e-12
tight <- list(threshold = threshold, maxiter = 10000)
pool <- function(...) {
  rma(slope, variance, data = slopes_of_settings, control = tight, ...)
}
estimators <- c("DL", "HE", "HS", "SJ", "ML", "REML", "EB", "PM")
told <- function(method) {
  control <- if (method %in% c("ML", "REML", "EB")) tight else list()
  fit <- rma(slope, variance, data = slopes_of_settings, method = method, control = control)
  list(
    b = fit$b[1], se = fit$se, ci = c(fit$ci.lb, fit$ci.ub), tau2 = fit$tau2,
    se_tau2 = fit$se.tau2, I2 = fit$I2, H2 = fit$H2, QE = fit$QE, QEp = fit$QEp
  )
}
reml <- pool()
common <- rma(slope, variance, data = slopes_of_settings, method = "FE")
knapp <- pool(test = "knha")
moderated <- pool(mods = ~reform)
moderated_knapp <- pool(mods = ~reform, test = "knha")
profile <- confint(reml, control = list(tol = 1e-12))$random
predicted <- predict(reml)
asymmetric <- regtest(reml)
filled <- trimfill(reml, control = tight)
shrunk <- blup(reml)
write_case(
  "meta-settings", "meta_analysis", "settings.csv",
  list(
    effect = list(measure = "given", columns = list(effect = "slope", variance = "variance")),
    methods = estimators, moderators = "~ reform", terms = list(intrcpt = "Intercept", reform = "reform"),
    confidence = 0.95, threshold = threshold,
    tests = list(
      knapp_hartung = "REML", q_profile = "REML", prediction = "REML", metareg = "REML",
      egger = "REML", trimfill = "REML", blup = "REML"
    ),
    tolerances = list(random.PM = 1e-4)
  ),
  "metafor::rma(yi, vi, method = ...); confint; predict; rma(mods = ...); regtest; trimfill; blup",
  version_of("metafor"), "iterative", 1e-7,
  "Simulated: nine slopes with known variances and one moderator; iterations run to 1e-12.",
  list(
    yi = slopes_of_settings$slope, vi = slopes_of_settings$variance,
    random = lapply(setNames(estimators, estimators), told),
    fixed = list(b = common$b[1], se = common$se, QE = common$QE),
    knapp_hartung = list(
      se = knapp$se, t = knapp$zval, p = knapp$pval, ci = c(knapp$ci.lb, knapp$ci.ub)
    ),
    q_profile_tau2 = unname(profile["tau^2", 2:3]), q_profile_I2 = unname(profile["I^2(%)", 2:3]),
    prediction_interval = c(predicted$pi.lb, predicted$pi.ub),
    metareg = list(
      terms = rownames(moderated$b), b = moderated$b[, 1], se = moderated$se, p = moderated$pval,
      tau2 = moderated$tau2, QM = moderated$QM, QMp = moderated$QMp, QE = moderated$QE,
      R2 = moderated$R2
    ),
    metareg_knha = list(
      se = moderated_knapp$se, p = moderated_knapp$pval, QM = moderated_knapp$QM,
      QMp = moderated_knapp$QMp
    ),
    egger = list(z = asymmetric$zval, p = asymmetric$pval),
    trimfill = list(k0 = filled$k0, b = filled$b[1], se = filled$se, side = filled$side),
    blup = list(pred = shrunk$pred, se = shrunk$se)
  )
)

set.seed(20260104)
nested <- data.frame(study = rep(paste0("s", 1:10), times = c(3, 5, 2, 4, 1, 6, 3, 2, 5, 4)))
nested$effect_id <- ave(seq_len(nrow(nested)), nested$study, FUN = seq_along)
nested$variance <- round(exp(rnorm(nrow(nested), -3, 0.5)), 5)
nested$effect <- round(
  0.3 + rnorm(10, sd = 0.4)[as.integer(factor(nested$study))] +
    rnorm(nrow(nested), sd = sqrt(nested$variance + 0.05)), 4
)
write_table(nested, "nested_effects.csv")
multilevel <- rma.mv(
  effect, variance, random = ~ 1 | study/effect_id, data = nested,
  control = list(rel.tol = 1e-13)
)
robust <- coef_test(multilevel, vcov = "CR2", cluster = nested$study)
write_case(
  "meta-nested", "meta_multilevel", "nested_effects.csv",
  list(
    effect = list(measure = "given", columns = list(effect = "effect", variance = "variance")),
    levels = c("study", "effect_id"), method = "REML",
    robust = list(type = "CR2", cluster = "study", df = "satterthwaite")
  ),
  "metafor::rma.mv(yi, vi, random = ~1 | study/effect_id); clubSandwich::coef_test(vcov = 'CR2')",
  version_of("metafor", "clubSandwich"), "iterative", 1e-5,
  "Simulated: 35 effects with known variances in ten studies.",
  list(
    b = multilevel$b[1], se = multilevel$se, sigma2 = multilevel$sigma2,
    loglik = as.numeric(logLik(multilevel)), QE = multilevel$QE,
    cr2 = list(
      Coef = "intrcpt", beta = robust$beta, SE = robust$SE, tstat = robust$tstat,
      df_Satt = robust$df_Satt, p_Satt = robust$p_Satt
    )
  )
)

# Agreement of coders ------------------------------------------------------------------------
# Where no package is named the numbers are those of formulas written out below, pair by pair.

set.seed(20260107)
truth <- sample(1:5, 24, replace = TRUE)
coded <- sapply(1:4, function(j) pmin(pmax(truth + sample(-1:1, 24, TRUE, c(1, 4, 1)), 1), 5))
colnames(coded) <- paste0("c", 1:4)
gaps <- coded
gaps[cbind(sample(24, 12), rep(1:4, 3))] <- NA
write_table(data.frame(unit = 1:24, coded), "coders.csv")
write_table(data.frame(unit = 1:24, gaps), "coders_gaps.csv")
coders <- colnames(coded)

pairs_within <- function(x) {
  found <- lapply(seq_len(nrow(x)), function(i) {
    v <- x[i, !is.na(x[i, ])]
    if (length(v) < 2) return(NULL)
    grid <- expand.grid(a = seq_along(v), b = seq_along(v))
    grid <- grid[grid$a != grid$b, ]
    data.frame(a = v[grid$a], b = v[grid$b], share = 1 / (length(v) - 1), unit = i)
  })
  do.call(rbind, found)
}
differences <- list(
  nominal = function(a, b, pool) as.numeric(a != b),
  ordinal = function(a, b, pool) {
    middle <- function(v) sapply(v, function(w) sum(pool < w) + sum(pool == w) / 2)
    (middle(a) - middle(b))^2
  },
  interval = function(a, b, pool) (a - b)^2,
  ratio = function(a, b, pool) ((a - b) / (a + b))^2
)
alpha_of <- function(x, difference) {
  x <- x[rowSums(!is.na(x)) > 1, ]
  pool <- x[!is.na(x)]
  inside <- pairs_within(x)
  every <- expand.grid(i = seq_along(pool), j = seq_along(pool))
  every <- every[every$i != every$j, ]
  1 - sum(inside$share * difference(inside$a, inside$b, pool)) / length(pool) /
    mean(difference(pool[every$i], pool[every$j], pool))
}
write_case(
  "krippendorff-simulated", "krippendorff_alpha", "coders_gaps.csv",
  list(units = "unit", raters = coders, missing = "kept", levels = names(differences)),
  "formula over pairs of ratings, in make_cases.R", "base R", "exact", 1e-9,
  "Simulated: 24 units, 4 coders, 5 values, 12 ratings blanked.",
  lapply(differences, function(difference) list(
    alpha = alpha_of(gaps, difference), units = 24, raters = 4,
    n_pairable = sum(gaps[rowSums(!is.na(gaps)) > 1, ] >= 0, na.rm = TRUE)
  ))
)

corrected <- function(x, weigh) {
  q <- 1:5
  w <- outer(q, q, weigh)
  shares <- t(apply(x, 1, function(v) tabulate(v[!is.na(v)], 5) / sum(!is.na(v))))
  inside <- pairs_within(x)
  pa <- mean(tapply(w[cbind(inside$a, inside$b)], inside$unit, mean))
  p <- colMeans(shares)
  by_coder <- apply(x, 2, function(v) tabulate(v[!is.na(v)], 5) / sum(!is.na(v)))
  two <- combn(4, 2)
  pe <- list(
    ac = sum(w) * sum(p * (1 - p)) / 20, fleiss = sum(w * outer(p, p)),
    conger = mean(apply(two, 2, function(g) sum(w * outer(by_coder[, g[1]], by_coder[, g[2]])))),
    bp = sum(w) / 25, pa = 0
  )
  lapply(pe, function(chance) list(coeff = (pa - chance) / (1 - chance), pa = pa, pe = chance))
}
write_case(
  "agreement-simulated", "chance_corrected_agreement", "coders_gaps.csv",
  list(
    units = "unit", raters = coders, missing = "kept", confidence = 0.95,
    coefficients = list(ac = "Gwet", fleiss = "Fleiss", conger = "Conger",
                        bp = "Brennan-Prediger", pa = "share of agreeing pairs"),
    weights = c("unweighted", "linear", "quadratic")
  ),
  "formulas over pairs of ratings, in make_cases.R", "base R", "exact", 1e-9,
  "Simulated: 24 units, 4 coders, 5 values, 12 ratings blanked.",
  list(
    unweighted = corrected(gaps, function(a, b) as.numeric(a == b)),
    linear = corrected(gaps, function(a, b) 1 - abs(a - b) / 4),
    quadratic = corrected(gaps, function(a, b) 1 - (a - b)^2 / 16)
  )
)

fit <- psych::cohen.kappa(coded[, 1:2])
write_case(
  "cohen-simulated", "cohen_kappa", "coders.csv",
  list(
    raters = coders[1:2], weights = setNames(list(), character()), confidence = 0.95
  ),
  "psych::cohen.kappa(x)", version_of("psych"), "exact", 1e-8,
  "Simulated: 24 units, 2 coders, 5 values. psych's default weights are quadratic.",
  list(
    psych_kappa = fit$kappa, psych_wkappa_quadratic = fit$weighted.kappa,
    psych_var = fit$var.kappa
  )
)

counts <- t(apply(coded, 1, tabulate, nbins = 5))
apart <- colSums(counts * (4 - counts)) / (24 * 4 * 3)
p <- colSums(counts) / (24 * 4)
write_case(
  "fleiss-simulated", "fleiss_kappa", "coders.csv", list(raters = coders),
  "formula over counts; psych::cohen.kappa of each pair", version_of("psych"), "exact", 1e-8,
  "Simulated: 24 units, 4 coders, 5 values.",
  list(
    kappa = 1 - sum(apart) / sum(p * (1 - p)),
    light = mean(combn(4, 2, function(g) psych::cohen.kappa(coded[, g])$kappa)),
    percent_agreement = 100 * mean(apply(coded, 1, function(v) length(unique(v)) == 1))
  )
)

friedman <- friedman.test(t(coded))
spearman <- cor(coded, method = "spearman")
write_case(
  "kendall-simulated", "kendall_w", "coders.csv",
  list(subjects = "unit", raters = coders, confidence = 0.95),
  "friedman.test(t(x)); cor(x, method = 'spearman')", "stats", "exact", 1e-9,
  "Simulated: 24 units, 4 coders, many ties. W is Friedman's statistic over m(n - 1).",
  list(
    W_ties = friedman$statistic[[1]] / (4 * 23), chisq_ties = friedman$statistic[[1]],
    p_ties = friedman$p.value, mean_spearman = tanh(mean(atanh(spearman[upper.tri(spearman)])))
  )
)

icc_case <- function(case, file, x, method, kind, rel_tol) {
  fit <- psych::ICC(x, lmer = method == "reml", missing = FALSE)$results
  rownames(fit) <- NULL
  write_case(
    case, "icc", file,
    list(
      subjects = "unit", raters = coders, layout = "wide", method = method, confidence = 0.95
    ),
    sprintf("psych::ICC(x, lmer = %s, missing = FALSE)", method == "reml"),
    version_of("psych", "lme4"), kind, rel_tol, "Simulated: 24 units, 4 coders.",
    list(results = as.list(fit))
  )
}
icc_case("icc-simulated", "coders.csv", coded, "anova", "exact", 1e-8)
icc_case("icc-simulated-gaps", "coders_gaps.csv", gaps, "reml", "iterative", 1e-4)

size <- sample(3:9, 15, replace = TRUE)
group <- rep(sprintf("g%02d", 1:15), size)
level <- rnorm(15)[rep(1:15, size)]
members <- sapply(1:3, function(j) pmin(pmax(round(3 + level / 2 + rnorm(length(level))), 1), 5))
colnames(members) <- paste0("q", 1:3)
write_table(data.frame(group, members), "members.csv")
squares <- anova(lm(members[, 1] ~ group))[["Mean Sq"]]
one <- 1 - tapply(members[, 1], group, var) / 2
mean_variance <- rowMeans(sapply(1:3, function(j) tapply(members[, j], group, var)))
share <- pmax(1 - mean_variance / 2, 0)
several <- 3 * share / (3 * share + 1 - share)
model <- as.data.frame(lme4::VarCorr(lme4::lmer(members[, 1] ~ 1 + (1 | group))))$vcov
told <- sort(unique(group))
write_case(
  "groups-simulated", "group_agreement", "members.csv",
  list(
    group = "group", item = "q1", items = colnames(members), null_variance = 2,
    tolerances = list(gmeanrel_icc = 1e-4, gmeanrel = 1e-4)
  ),
  "formulas of variances; anova(lm(y ~ group)); lme4::lmer(y ~ 1 + (1 | group))",
  version_of("lme4"), "exact", 1e-9, "Simulated: 15 groups of 3 to 9 members, 3 items of 1..5.",
  list(
    rwg_mean = mean(pmax(one, 0)),
    rwg = list(grpid = told, rwg = as.vector(pmax(one, 0)), gsize = as.vector(table(group))),
    rwgj_mean = mean(several), rwgj = list(grpid = told, `rwg.j` = as.vector(several)),
    ICC1 = (squares[1] - squares[2]) / (squares[1] + (length(group) / 15 - 1) * squares[2]),
    ICC2 = (squares[1] - squares[2]) / squares[1],
    gmeanrel_icc = model[1] / sum(model),
    gmeanrel = list(group = told, rel = as.vector(model[1] / (model[1] + model[2] / table(group))))
  )
)
