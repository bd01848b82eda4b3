# Writes the cases of complex samples: simulated answers of persons in villages in districts in
# regions, with missing values, and what R's survey package says of them.
#
#   Rscript make_survey_cases.R        (in this folder; needs survey, jsonlite)

options(warn = -1)
suppressPackageStartupMessages(library(survey))
source("common.R")

# The sample ---------------------------------------------------------------------------------

set.seed(20260204)
regions <- data.frame(
  region = c("north", "east", "south", "coast"), drawn = c(4, 5, 3, 6), districts = c(20, 12, 9, 40)
)
rows <- list()
for (h in seq_len(nrow(regions))) {
  for (d in seq_len(regions$drawn[h])) {
    villages <- sample(2:6, 1)
    taken <- min(villages, sample(2:3, 1))
    level <- rnorm(1, sd = 6)
    for (v in seq_len(taken)) {
      people <- sample(30:90, 1)
      asked <- sample(3:7, 1)
      here <- rnorm(1, sd = 4)
      for (i in seq_len(asked)) {
        rows[[length(rows) + 1]] <- data.frame(
          region = regions$region[h], district = d, village = v, n1 = regions$districts[h],
          n2 = villages, n3 = people, pull = level + here + 3 * h
        )
      }
    }
  }
}
people <- do.call(rbind, rows)
n <- nrow(people)
people$weight <- round(runif(n, 40, 160), 2)
people$weight[sample(n, 4)] <- 0
people$age <- sample(18:80, n, TRUE)
people$income <- round(exp(3 + 0.02 * people$pull + rnorm(n, sd = 0.5)), 1)
people$spent <- round(people$income * runif(n, 0.3, 0.9), 1)
people$score <- round(50 + people$pull + 0.1 * people$age + rnorm(n, sd = 8), 2)
people$class <- sample(1:3, n, TRUE, c(0.5, 0.3, 0.2))
people$kind <- sample(c("city", "town", "village"), n, TRUE)
people$tax.paid <- ifelse(runif(n) < plogis(-1 + 0.05 * people$pull + 0.02 * people$age), "Yes", "No")
for (item in 1:4) {
  people[[paste0("q", item)]] <- pmin(pmax(round(3 + people$pull / 8 + rnorm(n)), 1), 5)
}
for (name in c("income", "score", "class", "kind", "tax.paid", "q2", "q4")) {
  people[[name]][sample(n, 9)] <- NA
}
people$pull <- NULL
people <- people[sample(n), ]
rownames(people) <- NULL
write_table(people, "survey_people.csv")
factors <- transform(people, kind = factor(kind), tax.paid = factor(tax.paid))

# The same, with only one district left in the east and one village in some districts.
few <- people[!(people$region == "east" & people$district > 1), ]
few <- few[!(few$region == "south" & few$district == 2 & few$village > 1), ]
few <- few[few$weight > 0 & complete.cases(few), ]
rownames(few) <- NULL
write_table(few, "survey_few.csv")

stage <- function(unit = NULL, population = NULL) {
  list(unit = if (is.null(unit)) NA else unit, population = if (is.null(population)) NA else population)
}
told <- function(weights, strata, stages, nested, ...) {
  list(weights = weights, strata = strata, stages = stages, nested = nested, ...)
}

designs <- list(
  clusters = list(
    made = svydesign(
      id = ~district, strata = ~region, weights = ~weight, nest = TRUE, data = factors
    ),
    told = told("weight", "region", list(stage("district")), TRUE)
  ),
  onestage = list(
    made = svydesign(
      id = ~district, strata = ~region, weights = ~weight, nest = TRUE, fpc = ~n1, data = factors
    ),
    told = told("weight", "region", list(stage("district", "n1")), TRUE)
  ),
  threestage = list(
    made = svydesign(
      id = ~ district + village + seq_len(n), strata = ~region, nest = TRUE, fpc = ~ n1 + n2 + n3,
      data = factors
    ),
    told = told(
      NA, "region", list(stage("district", "n1"), stage("village", "n2"), stage(NULL, "n3")), TRUE
    )
  ),
  persons = list(
    made = svydesign(id = ~1, weights = ~weight, data = factors),
    told = told("weight", NA, list(stage()), FALSE)
  )
)

# What is expected ---------------------------------------------------------------------------

plain <- function(m) {
  values <- unname(as.matrix(m))
  list(
    rows = as.character(seq_len(nrow(values))), cols = paste0("V", seq_len(ncol(values))),
    values = values
  )
}
estimated <- function(found, deff = FALSE) {
  expected <- list(
    est = named(coef(found)), se = named(setNames(as.numeric(SE(found)), names(coef(found)))),
    vcov = plain(vcov(found))
  )
  if (deff) expected$deff <- as.numeric(deff(found))
  expected
}
parts <- function(variable, domain, design) {
  found <- svyby(reformulate(variable), reformulate(domain), design, svymean, na.rm = TRUE)
  list(
    levels = as.character(found[[domain]]), mean = as.numeric(coef(found)),
    se = as.numeric(SE(found))
  )
}
fitted <- function(fit) {
  table <- summary(fit)$coefficients
  list(
    coef = named(table[, 1]), se = named(table[, 2]), t = named(table[, 3]),
    p = named(table[, 4]), df_resid = fit$df.residual, vcov = plain(vcov(fit))
  )
}
matrix_of <- function(m) list(rows = rownames(m), cols = colnames(m), values = unname(m))

source <- paste(
  "Simulated persons in villages in districts in regions; labels of districts and villages repeat;",
  "values blanked at random; four weights are 0."
)

for (name in names(designs)) {
  d <- designs[[name]]$made
  mean <- svymean(~ score + age, d, na.rm = TRUE, deff = TRUE)
  quantile <- svyquantile(~income, d, c(0.1, 0.5, 0.9), na.rm = TRUE, ci = FALSE)[[1]]
  test <- svychisq(~ tax.paid + kind, d, statistic = "F")
  share <- svyciprop(~ I(kind == "town"), d, method = "logit", na.rm = TRUE)
  t <- svyttest(score ~ tax.paid, d)
  spread <- svyvar(~score, d, na.rm = TRUE) # its n counts rows without a score
  ratio <- svyratio(~spent, ~income, d, na.rm = TRUE)
  write_case(
    paste0("survey-descriptives-", name), "survey_descriptives", "survey_people.csv",
    list(
      design = designs[[name]]$told, mean = c("score", "age"), total = c("income", "spent"),
      variance = "score", ratio = list(numerator = "spent", denominator = "income"),
      proportions = "kind", by = list(variable = "score", domain = "class"),
      quantiles = list(
        variable = "income", probs = c(0.1, 0.5, 0.9), definition = "inverse_distribution_function"
      ),
      chisq = list(rows = "tax.paid", columns = "kind", correction = "rao_scott_second_order_F"),
      proportion = list(variable = "kind", value = "town", interval = "logit"),
      ttest = list(variable = "score", groups = "tax.paid"),
      missing = "drop_for_that_statistic", confidence = 0.95,
      tolerances = list(ciprop_logit = 1e-5)
    ),
    "svymean, svytotal, svyvar, svyratio, svyby, svyquantile(qrule = 'math'), svychisq, svyciprop, svyttest",
    version_of("survey"), "exact", 1e-8, source,
    list(
      degf = degf(d), sum_weights = sum(weights(d)), mean = estimated(mean, TRUE),
      mean_deff_replace = as.numeric(deff(svymean(~ score + age, d, na.rm = TRUE, deff = "replace"))),
      mean_ci_t = matrix_of(confint(mean, df = degf(d))),
      total = estimated(svytotal(~ income + spent, d, na.rm = TRUE, deff = TRUE), TRUE),
      var = coef(spread)[[1]], var_se = SE(spread)[[1]],
      ratio = list(est = coef(ratio)[[1]], se = SE(ratio)[[1]]),
      prop_kind = estimated(svymean(~kind, d, na.rm = TRUE)),
      by_class = parts("score", "class", d),
      quantiles = list(probs = c(0.1, 0.5, 0.9), est = as.numeric(quantile)),
      chisq = list(
        F = unname(test$statistic), df = unname(test$parameter), p = unname(test$p.value)
      ),
      ciprop_logit = list(est = coef(share)[[1]], ci = as.numeric(confint(share))),
      ttest = list(
        t = unname(t$statistic), df = unname(t$parameter), p = unname(t$p.value),
        diff = unname(t$estimate)
      )
    )
  )
}

for (name in c("clusters", "threestage")) {
  d <- designs[[name]]$made
  linear <- svyglm(score ~ age + log(income) + kind, d)
  logistic <- svyglm(
    I(tax.paid == "Yes") ~ age + factor(class), d, family = quasibinomial(),
    control = list(epsilon = 1e-12, maxit = 50)
  )
  test <- regTermTest(linear, ~kind)
  write_case(
    paste0("survey-regression-", name), "survey_regression", "survey_people.csv",
    list(
      design = designs[[name]]$told, linear = "score ~ age + log(income) + kind",
      logistic = list(
        outcome = list(variable = "tax.paid", value = "Yes"), formula = "~ age + C(class)"
      ),
      wald = I("kind"),
      terms = list(
        `(Intercept)` = "Intercept", age = "age", `log(income)` = "log(income)",
        kindtown = "C(kind)[T.town]", kindvillage = "C(kind)[T.village]",
        `factor(class)2` = "C(class)[T.2]", `factor(class)3` = "C(class)[T.3]"
      ),
      missing = "listwise", tolerances = list(logistic = 1e-5)
    ),
    "svyglm(gaussian | quasibinomial); regTermTest", version_of("survey"), "exact", 1e-7, source,
    list(
      linear = fitted(linear), logistic = fitted(logistic),
      wald_kind = list(F = test$Ftest[[1]], df = test$df, ddf = test$ddf, p = test$p[[1]])
    )
  )
}

for (name in c("clusters", "threestage")) {
  d <- designs[[name]]$made
  young <- svymean(~ score + age, subset(d, age < 40 & !is.na(score)), deff = TRUE)
  logistic <- svyglm(
    I(tax.paid == "Yes") ~ score, d, family = quasibinomial(),
    control = list(epsilon = 1e-12, maxit = 50)
  )
  write_case(
    paste0("survey-domains-", name), "survey_stratified_clustered", "survey_people.csv",
    list(
      design = designs[[name]]$told, total = "score", mean = c("score", "q1"),
      domains = list(by_kind = "kind", by_class = "class"),
      logistic = list(outcome = list(variable = "tax.paid", value = "Yes"), formula = "~ score"),
      subset = list(young = list(rows = "age < 40", mean = c("score", "age"))),
      terms = list(`(Intercept)` = "Intercept", score = "score"),
      missing = "drop_for_that_statistic", tolerances = list(logistic = 1e-5)
    ),
    "svytotal, svymean, svyby, svyglm, subset", version_of("survey"), "exact", 1e-7, source,
    list(
      degf = degf(d), total = estimated(svytotal(~score, d, na.rm = TRUE, deff = TRUE), TRUE),
      mean = estimated(svymean(~ score + q1, d, na.rm = TRUE, deff = TRUE), TRUE),
      by_kind = parts("score", "kind", d), by_class = parts("score", "class", d),
      logistic = fitted(logistic), young = estimated(young, TRUE)
    )
  )
}

# Strata with one district: R's names of the options, and those of this package. "adjust" is
# compared on means only, because R centres totals at 0 and not at the mean of all districts.
options <- c(remove = "certainty", adjust = "adjust", average = "average")
for (option in names(options)) {
  options(survey.lonely.psu = option)
  d <- svydesign(
    id = ~district, strata = ~region, weights = ~weight, nest = TRUE, fpc = ~n1, data = few
  )
  expected <- list(
    degf = degf(d), mean = estimated(svymean(~ score + age, d)),
    by_class = parts("score", "class", d)
  )
  if (option != "adjust") expected$total <- estimated(svytotal(~spent, d))
  write_case(
    paste0("survey-lonely-", options[[option]]), "survey_stratified_clustered", "survey_few.csv",
    list(
      design = told(
        "weight", "region", list(stage("district", "n1")), TRUE, lonely = options[[option]]
      ),
      total = if (option == "adjust") list() else "spent", mean = c("score", "age"),
      domains = list(by_class = "class"), logistic = NA, subset = setNames(list(), character()),
      terms = setNames(list(), character()), missing = "drop_for_that_statistic"
    ),
    paste0("options(survey.lonely.psu = '", option, "'); svymean, svytotal, svyby"),
    version_of("survey"), "exact", 1e-9, "Simulated as survey_people.csv, one district in the east.",
    expected
  )
}
options(survey.lonely.psu = "fail")

items <- paste0("q", 1:4)
for (name in c("clusters", "persons")) {
  complete <- subset(designs[[name]]$made, complete.cases(cbind(q2, q4)))
  write_case(
    paste0("survey-alpha-", name), "survey_reliability", "survey_people.csv",
    list(design = designs[[name]]$told, alpha_items = items, alpha_complete_on = c("q2", "q4")),
    "svycralpha(~ q1 + q2 + q3 + q4, subset(design, complete))", version_of("survey"), "exact",
    1e-9, source, list(alpha = unname(svycralpha(~ q1 + q2 + q3 + q4, complete)))
  )
}
