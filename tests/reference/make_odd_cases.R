# Writes cases of what the other scripts leave out: categories of text, numbers out of order as
# text, items that few answered, gaps in tables, names with dots.
#
#   Rscript make_odd_cases.R        (in this folder; needs psych, multilevel, nlme, lmerTest, survey,
#                                    jsonlite, and the tables that make_cases.R writes)

suppressPackageStartupMessages({
  library(psych)
  library(multilevel)
  library(lmerTest)
  library(survey)
})
source("common.R")
none <- setNames(list(), character())
matrix_of <- function(x) {
  x <- unclass(as.matrix(x))
  list(rows = I(rownames(x)), cols = I(colnames(x)), values = unname(x))
}

# Items -------------------------------------------------------------------------------------

answers <- read.csv("data/six_items.csv")
three <- c("q1", "q3", "q6")
x <- answers[complete.cases(answers[c(three, "q2", "q5")]), three]
fit <- psych::alpha(x, check.keys = FALSE, warnings = FALSE)
drop <- fit$alpha.drop[setdiff(names(fit$alpha.drop), "S/N")]
write_case(
  "alpha-three-items", "cronbach_alpha", "six_items.csv",
  list(
    items = three, reverse = none, missing = "listwise", complete_on = c(three, "q2", "q5"),
    confidence = 0.9
  ),
  "psych::alpha(x, check.keys = FALSE)", version_of("psych"), "exact", 1e-8,
  paste(
    "Three of the six simulated items, on the rows complete on five. Two items that are left have",
    "one correlation, which has no variance."
  ),
  list(
    total = as.list(unlist(fit$total[c("raw_alpha", "std.alpha", "G6(smc)", "median_r")])),
    alpha_drop = columns(drop), n = nrow(x)
  )
)

turned <- transform(answers, q4 = 7 - q4)
R <- cor(turned, use = "pairwise")
found <- suppressWarnings(psych::guttman(R))
halves <- combn(6, 3)[, 1:10]
halves <- sort(apply(halves, 2, function(a) 4 * sum(R[a, -a]) / sum(R)))
write_case(
  "guttman-pairwise", "guttman_lambdas", "six_items.csv",
  list(
    items = names(answers), reverse = list(q4 = c(1, 6)), missing = "pairwise", complete_on = NULL,
    matrix = "correlation", splits = "all"
  ),
  "R <- cor(x, use = 'pairwise'); psych::guttman(R)", version_of("psych"), "exact", 1e-9,
  "The six simulated items: each correlation over the rows that have both.",
  list(
    lambda1 = found$lambda.1, lambda2 = found$lambda.2, lambda3 = found$lambda.3,
    lambda5 = found$lambda.5, lambda6 = found$lambda.6,
    tenberge = as.list(found$tenberge[c("mu0", "mu1", "mu2", "mu3")]), split_all_sorted = halves,
    average_item_r = mean(R[lower.tri(R)])
  )
)
S <- cov(turned[1:4], use = "complete")
write_case(
  "guttman-covariance", "guttman_lambdas", "six_items.csv",
  list(
    items = names(answers)[1:4], reverse = list(q4 = c(1, 6)), missing = "listwise",
    complete_on = names(answers)[1:4], matrix = "covariance", splits = "all"
  ),
  "formulas, in make_odd_cases.R", "base R", "exact", 1e-9, "Four simulated items, as they are.",
  list(
    lambda1 = 1 - sum(diag(S)) / sum(S), lambda3 = 4 / 3 * (1 - sum(diag(S)) / sum(S)),
    lambda6 = 1 - sum(1 / diag(solve(S))) / sum(S)
  )
)

scales <- list(all = names(turned)[1:5], half = names(turned)[c(1, 2, 6)])
scored <- suppressWarnings(psych::scoreItems(scales, turned, impute = "none"))
write_case(
  "attenuation-overlap", "disattenuated_correlation", "six_items.csv",
  list(
    scales = scales, reverse = list(q4 = c(1, 6)), missing = "pairwise",
    score = "mean_of_answered", head_rows = 3
  ),
  "psych::scoreItems(keys, x, impute = 'none')", version_of("psych"), "exact", 1e-8,
  "Two items are in both scales.",
  list(alpha = as.list(scored$alpha[1, ]), cor = matrix_of(scored$cor))
)

set.seed(20260301)
trait <- rnorm(250)
cuts <- list(c(-0.8, 0, 1), c(-0.5, 0.3, 1.6), c(-1.5, -0.2, 0.8), 1)
few <- as.data.frame(lapply(cuts, function(at) {
  findInterval(0.7 * trait + sqrt(0.51) * rnorm(250), at) + 2
}))
names(few) <- paste0("o.", 1:4)
write_table(few, "few_answers.csv")
fit <- suppressWarnings(psych::polychoric(few))
write_case(
  "polychoric-empty", "polychoric_alpha_omega", "few_answers.csv",
  list(
    items = names(few), reverse = none, missing = "listwise", complete_on = names(few),
    categories = 2:5, estimation = "two_step", empty_cell_value = 0.5, factors = 1,
    extraction = "minres"
  ),
  "psych::polychoric(x)", version_of("psych"), "iterative", 1e-4,
  paste(
    "Simulated: three items of four answers and one of two. Items with different numbers of answers:",
    "empty cells count 0.5."
  ),
  list(
    rho = matrix_of(fit$rho),
    tau = list(
      rows = rownames(fit$tau), cols = colnames(fit$tau),
      values = unname(ifelse(is.finite(fit$tau), fit$tau, NA))
    ),
    ordinal_alpha = suppressWarnings(psych::alpha(fit$rho)$total$std.alpha)
  )
)

# Ratings -----------------------------------------------------------------------------------

coded <- read.csv("data/coders.csv")
gaps <- read.csv("data/coders_gaps.csv")
coders <- setdiff(names(coded), "unit")
words <- c("Absent", "Little", "NA", "Some", "Strong")
worded <- coded
worded[coders] <- lapply(coded[coders], function(v) words[v])
write_table(worded, "coders_text.csv")
fit <- psych::cohen.kappa(worded[coders[1:2]])
write_case(
  "cohen-text", "cohen_kappa", "coders_text.csv",
  list(raters = coders[1:2], weights = none, confidence = 0.95), "psych::cohen.kappa(x)",
  version_of("psych"), "exact", 1e-8, "Two simulated coders; values are words, one of them NA.",
  list(psych_kappa = fit$kappa, psych_var = fit$var.kappa)
)
counts <- t(apply(coded[coders], 1, tabulate, nbins = 5))
apart <- colSums(counts * (4 - counts)) / (24 * 4 * 3)
p <- colSums(counts) / (24 * 4)
kappas <- 1 - apart / (p * (1 - p))
z <- kappas / sqrt(2 / (24 * 4 * 3))
write_case(
  "fleiss-text", "fleiss_kappa", "coders_text.csv",
  list(raters = coders, rounding = list(by_category_rounded3 = list(decimals = 3))),
  "formulas over counts, in make_odd_cases.R", "base R", "exact", 1e-8,
  "Four simulated coders; values are words, one of them NA.",
  list(
    kappa = 1 - sum(apart) / sum(p * (1 - p)),
    by_category_rounded3 = list(
      rows = words, cols = c("kappa", "z", "p"),
      values = round(unname(cbind(kappas, z, 2 * pnorm(-abs(z)))), 3)
    )
  )
)
together <- sum(counts * (counts - 1)) / (24 * 4 * 3)
write_case(
  "agreement-text", "chance_corrected_agreement", "coders_text.csv",
  list(
    units = "unit", raters = coders, missing = "kept", confidence = 0.95,
    coefficients = list(ac = "Gwet", fleiss = "Fleiss"), weights = I("unweighted")
  ),
  "formulas over counts, in make_odd_cases.R", "base R", "exact", 1e-9,
  "Four simulated coders; values are words, one of them NA.",
  list(unweighted = list(
    ac = list(pa = together, pe = sum(p * (1 - p)) / 4),
    fleiss = list(pa = together, pe = sum(p^2))
  ))
)
n <- 24 * 4
write_case(
  "krippendorff-text", "krippendorff_alpha", "coders_text.csv",
  list(units = "unit", raters = coders, missing = "kept", levels = I("nominal")),
  "formula over counts, in make_odd_cases.R", "base R", "exact", 1e-9,
  "Four simulated coders; values are words, one of them NA.",
  list(nominal = list(
    alpha = 1 - (n - 1) * sum(counts * (4 - counts)) / 3 / (n^2 - sum(colSums(counts)^2)),
    units = 24, raters = 4, n_pairable = n
  ))
)

opposed <- data.frame(unit = 1:24, a = coded[[coders[1]]], b = 6 - coded[[coders[1]]], c = coded[[coders[2]]])
write_table(opposed, "coders_opposed.csv")
r <- cor(opposed[-1], method = "spearman")
r <- r[lower.tri(r)]
write_case(
  "kendall-opposed", "kendall_w", "coders_opposed.csv",
  list(subjects = "unit", raters = c("a", "b", "c"), confidence = 0.95),
  "cor(x, method = 'spearman')", "base R", "exact", 1e-9,
  "One coder says the opposite of another: their correlation of -1 has no Fisher's z.",
  list(mean_spearman = tanh(mean(atanh(r[abs(r) < 1 - 1e-12]))))
)

icc_case <- function(case, x, method, missing, kind, rel_tol, notes) {
  fit <- suppressMessages(psych::ICC(x, lmer = method == "reml", missing = FALSE)$results)
  rownames(fit) <- NULL
  write_case(
    case, "icc", "coders_gaps.csv",
    list(
      subjects = "unit", raters = coders, layout = "wide", method = method, missing = missing,
      confidence = 0.95
    ),
    sprintf("psych::ICC(x, lmer = %s, missing = FALSE)", method == "reml"),
    version_of("psych", "lme4"), kind, rel_tol, notes, list(results = as.list(fit))
  )
}
icc_case(
  "icc-gaps-anova", gaps[coders], "anova", "available", "exact", 1e-8,
  "Mean squares of units, then of coders given units, over the ratings that there are."
)
icc_case(
  "icc-gaps-listwise", na.omit(gaps[coders]), "reml", "listwise", "iterative", 1e-4,
  "The units that every coder rated."
)

members <- read.csv("data/members.csv")
members$group <- as.integer(sub("g", "", members$group)) * 5
members$q1[c(1, 20)] <- NA
members$q2[c(2, 31)] <- NA
members$group[12] <- NA
write_table(members, "members_gaps.csv")
items <- c("q1", "q2", "q3")
alone <- rwg(members$q1, members$group, 2)
joint <- rwg.j(members[items], members$group, 2)
kept <- na.omit(members[c("group", "q1")])
squares <- aov(q1 ~ factor(group), kept)
write_case(
  "groups-gaps", "group_agreement", "members_gaps.csv",
  list(group = "group", item = "q1", items = items, null_variance = 2),
  "multilevel::rwg, rwg.j, ICC1(aov(y ~ group)), ICC2(aov)", version_of("multilevel"), "exact", 1e-8,
  "Simulated: groups are numbers; items and a group are blanked. Sizes count the rows used.",
  list(
    rwg = columns(alone), rwg_mean = mean(alone$rwg, na.rm = TRUE), rwgj = columns(joint),
    rwgj_mean = mean(joint$rwg.j, na.rm = TRUE), ICC1 = ICC1(squares), ICC2 = ICC2(squares)
  )
)

# A mixed model whose columns have dots -------------------------------------------------------

wards <- read.csv("data/wards.csv")
names(wards) <- c("dis.trict", "tax.rate", "urban", "mean.score")
write_table(wards, "wards_dots.csv")
used <- subset(wards, urban != "city" & tax.rate > -0.5)
used$half.tax <- used$tax.rate / 2
fit <- lmer(
  mean.score ~ half.tax + log(tax.rate + 9) + (1 | dis.trict), used,
  control = lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9))
)
write_case(
  "mixed-dots", "mixed_linear", "wards_dots.csv",
  list(
    derive = list(half.tax = "tax.rate / 2"), rows = "urban != 'city' and tax.rate > -0.5",
    formula = "mean.score ~ half.tax + log(tax.rate + 9)",
    random = list(list(group = I("dis.trict"), formula = "1", correlated = TRUE)),
    categorical = none, methods = I("reml"), df = NULL, random_effects_of = NULL, head_rows = 10,
    fitted_rows = 5,
    terms = list(
      `(Intercept)` = "Intercept", half.tax = "half.tax", `log(tax.rate + 9)` = "log(tax.rate + 9)"
    )
  ),
  "lmerTest::lmer(mean.score ~ half.tax + log(tax.rate + 9) + (1 | dis.trict))",
  version_of("lme4", "lmerTest"), "iterative", 1e-5,
  "The simulated wards; names with dots, rows chosen by them, a logarithm in the formula.",
  list(reml = list(
    fixed = list(est = named(fixef(fit)), se = named(sqrt(diag(as.matrix(vcov(fit)))))),
    deviance_reml = unname(REMLcrit(fit)), fitted_head = unname(fitted(fit)[1:5])
  ))
)

# Proportions of numbers ------------------------------------------------------------------------

set.seed(20260302)
ages <- data.frame(
  area = rep(1:12, each = 4), w.1 = round(runif(48, 1, 5), 2),
  grade = sample(c(-1, 2, 10), 48, TRUE, c(0.5, 0.3, 0.2))
)
ages$grade[7] <- NA
write_table(ages, "grades.csv")
d <- svydesign(ids = ~area, weights = ~w.1, data = transform(ages, grade = factor(grade)))
share <- svymean(~grade, d, na.rm = TRUE)
middle <- svyquantile(~grade, update(d, grade = ages$grade), 0.5, qrule = "math", na.rm = TRUE, ci = FALSE)
write_case(
  "survey-grades", "survey_descriptives", "grades.csv",
  list(
    design = list(
      weights = "w.1", strata = NULL, stages = list(list(unit = "area", population = NULL)),
      nested = FALSE
    ),
    proportions = "grade",
    quantiles = list(
      variable = "grade", probs = 0.5, definition = "inverse_distribution_function"
    ),
    missing = "drop_for_that_statistic", confidence = 0.95
  ),
  "survey::svymean(~factor(grade)), svyquantile(qrule = 'math')", version_of("survey"), "exact", 1e-9,
  "Simulated: 12 areas. Grades -1, 2 and 10 are in the order of numbers, not of text.",
  list(
    prop_grade = list(
      est = named(coef(share)), se = named(setNames(as.numeric(SE(share)), names(coef(share)))),
      vcov = list(
        rows = as.character(1:3), cols = paste0("V", 1:3), values = unname(as.matrix(vcov(share)))
      )
    ),
    quantiles = list(probs = 0.5, est = as.numeric(middle[[1]]))
  )
)
