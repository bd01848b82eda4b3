# Writes the cases of generalisability studies: two synthetic data sets with the numbers that
# Brennan (2001) publishes, and simulated studies with variance components of lme4.
#
#   Rscript make_generalisability_cases.R        (in this folder; needs lme4, jsonlite)

suppressPackageStartupMessages(library(lme4))
source("common.R")

told <- function(design, object, fixed, sizes, method, rounding = NULL) {
  inputs <- list(
    design = design, object = object, fixed = I(as.character(fixed)), value = "score",
    sizes = sizes, method = method
  )
  if (!is.null(rounding)) inputs$rounding <- rounding
  inputs
}

published <- list(
  components.variance = list(decimals = 4), components.mean_square = list(decimals = 4),
  generalisability = list(decimals = 2), dependability = list(decimals = 2)
)

# Brennan (2001), synthetic data sets 3 and 4 -------------------------------------------------

long <- function(columns, names) {
  table <- do.call(rbind, lapply(seq_along(columns), function(k) {
    data.frame(person = seq_along(columns[[k]]), names[rep(k, length(columns[[k]])), ],
               score = columns[[k]])
  }))
  rownames(table) <- NULL
  table
}

third <- long(
  list(
    c(2, 4, 5, 5, 4, 4, 2, 3, 0, 6), c(6, 5, 5, 9, 3, 4, 6, 4, 5, 8),
    c(7, 6, 4, 8, 5, 4, 6, 4, 4, 7), c(5, 7, 6, 6, 6, 7, 5, 5, 5, 6),
    c(2, 6, 5, 5, 4, 6, 2, 6, 5, 6), c(5, 7, 4, 7, 5, 4, 7, 6, 5, 8),
    c(5, 5, 5, 7, 6, 7, 7, 6, 5, 8), c(5, 7, 5, 6, 4, 8, 5, 4, 3, 6)
  ),
  data.frame(item = rep(1:4, 2), occasion = rep(1:2, each = 4))
)
write_table(third, "brennan_3.csv")

fourth <- long(
  list(
    c(5, 9, 3, 7, 9, 3, 7, 5, 9, 4), c(6, 3, 4, 5, 2, 4, 3, 8, 9, 4),
    c(5, 7, 3, 5, 9, 3, 7, 5, 8, 4), c(5, 7, 3, 3, 7, 5, 7, 7, 8, 3),
    c(5, 7, 5, 3, 7, 3, 7, 7, 6, 3), c(3, 5, 3, 1, 7, 3, 5, 5, 6, 5),
    c(4, 5, 3, 4, 3, 6, 5, 5, 6, 6), c(5, 5, 5, 3, 7, 3, 7, 4, 5, 5),
    c(6, 7, 6, 5, 2, 4, 5, 3, 5, 5), c(7, 7, 5, 3, 7, 5, 5, 2, 8, 7),
    c(3, 5, 1, 3, 5, 1, 5, 1, 1, 1), c(3, 2, 6, 5, 3, 2, 4, 1, 1, 1)
  ),
  data.frame(rater = 1:12, task = rep(1:3, each = 4))
)
write_table(fourth, "brennan_4.csv")

book <- "Brennan, R. L. (2001). Generalizability Theory. Springer, chapters 3 and 4"
third_components <- list(
  component = c("person", "item", "occasion", "person x item", "person x occasion",
                "item x occasion", "person x item x occasion"),
  df = c(9, 3, 1, 27, 9, 3, 27),
  mean_square = c(6.9111, 12.4833, 3.2000, 2.0852, 1.3389, 2.5000, 0.9352),
  variance = c(0.5528, 0.4417, 0.0074, 0.5750, 0.1009, 0.1565, 0.9352)
)
for (fixed in c(FALSE, TRUE)) {
  write_case(
    paste0("generalisability-brennan-3", if (fixed) "-fixed" else ""), "generalisability",
    "brennan_3.csv",
    told("person x item x occasion", "person", if (fixed) "item" else character(),
         list(item = 4, occasion = 2), "anova", published),
    "published", book, "exact", 1e-9,
    paste("Synthetic data set 3: 10 persons, 4 items, 2 occasions;",
          if (fixed) "items fixed." else "all random.",
          "The mean square of person x occasion is 12.05 / 9."),
    list(
      components = third_components,
      generalisability = if (fixed) 0.81 else 0.64, dependability = if (fixed) 0.79 else 0.55
    )
  )
}
write_case(
  "generalisability-brennan-4", "generalisability", "brennan_4.csv",
  told("person x (rater : task)", "person", character(), list(rater = 4, task = 3), "anova",
       published),
  "published", book, "exact", 1e-9,
  "Synthetic data set 4: 10 persons, 3 tasks, 4 raters in each.",
  list(
    components = list(
      component = c("person", "task", "person x task", "rater : task", "(person x rater) : task"),
      df = c(9, 2, 18, 9, 81),
      mean_square = c(10.2963, 24.1000, 4.6185, 8.8556, 2.3802),
      variance = c(0.4731, 0.3252, 0.5596, 0.6475, 2.3802)
    ),
    generalisability = 0.55, dependability = 0.46
  )
)

# Simulated studies ---------------------------------------------------------------------------

# Components in the order of `names`, whose groups are the terms of lme4.
components_of <- function(fit, names) {
  found <- as.data.frame(VarCorr(fit))
  rownames(found) <- found$grp
  found[c(names, "Residual"), "vcov"]
}
control <- lmerControl( # the default stops when four digits of the variances are right
  optimizer = "bobyqa", optCtrl = list(rhobeg = 0.2, rhoend = 1e-9, maxfun = 1e5)
)

set.seed(20260301)
crossed <- expand.grid(person = 1:12, item = 1:4, occasion = 1:3)
draw <- function(keys, sd) {
  code <- as.integer(interaction(keys, drop = TRUE))
  rnorm(max(code), sd = sd)[code]
}
crossed$score <- round(
  5 + draw(crossed["person"], 1) + draw(crossed["item"], 0.7) + draw(crossed["occasion"], 0.8) +
    draw(crossed[c("person", "item")], 0.6) + draw(crossed[c("person", "occasion")], 0.7) +
    draw(crossed[c("item", "occasion")], 0.5) + rnorm(nrow(crossed)), 2
)
write_table(crossed, "crossed_study.csv")
fit <- lmer(
  score ~ 1 + (1 | person) + (1 | item) + (1 | occasion) + (1 | person:item) +
    (1 | person:occasion) + (1 | item:occasion), crossed, control = control
)
v <- components_of(fit, c("person", "item", "occasion", "person:item", "person:occasion",
                          "item:occasion"))
stopifnot(all(v > 0))
relative <- v[4] / 6 + v[5] / 2 + v[7] / 12
for (method in c("anova", "reml")) {
  write_case(
    paste0("generalisability-crossed-", method), "generalisability", "crossed_study.csv",
    told("person x item x occasion", "person", character(), list(item = 6, occasion = 2), method),
    "lmer(score ~ 1 + (1 | …), REML = TRUE), coefficients by hand", version_of("lme4"),
    "iterative", 1e-5,
    "Simulated and balanced, all components positive: both estimators agree.",
    list(
      components = list(
        component = c("person", "item", "occasion", "person x item", "person x occasion",
                      "item x occasion", "person x item x occasion"),
        variance = v
      ),
      generalisability = v[1] / (v[1] + relative),
      dependability = v[1] / (v[1] + relative + v[2] / 6 + v[3] / 2 + v[6] / 12)
    )
  )
}

set.seed(20260302)
sizes <- sample(3:9, 15, replace = TRUE)
nested <- do.call(rbind, lapply(1:15, function(p) {
  expand.grid(item = 1:5, person = seq_len(sizes[p]), place = p)
}))
nested$score <- round(
  draw(nested["place"], 0.7) + draw(nested["item"], 0.5) + draw(nested[c("place", "person")], 0.8) +
    draw(nested[c("place", "item")], 0.4) + rnorm(nrow(nested)), 2
)
nested <- nested[sort(sample(nrow(nested), round(0.9 * nrow(nested)))), ]
write_table(nested, "nested_study.csv")
fit <- lmer(
  score ~ 1 + (1 | place) + (1 | item) + (1 | place:person) + (1 | place:item), nested,
  control = control
)
v <- components_of(fit, c("place", "item", "place:person", "place:item"))
stopifnot(all(v > 0))
expected <- list(component = c("place", "item", "person : place", "place x item",
                               "(person x item) : place"), variance = v)
for (fixed in c(FALSE, TRUE)) {
  true <- v[1] + if (fixed) v[4] / 5 else 0
  relative <- v[3] / 20 + v[5] / 100 + if (fixed) 0 else v[4] / 5
  absolute <- relative + if (fixed) 0 else v[2] / 5
  write_case(
    paste0("generalisability-nested", if (fixed) "-fixed" else ""), "generalisability",
    "nested_study.csv",
    told("(person : place) x item", "place", if (fixed) "item" else character(),
         list(person = 20, item = 5), "auto"),
    "lmer(score ~ 1 + (1 | …), REML = TRUE), coefficients by hand", version_of("lme4"),
    "iterative", 1e-5,
    paste("Simulated: 15 places of 3 to 9 persons, 5 items, a tenth of the answers missing;",
          if (fixed) "items fixed." else "all random."),
    list(
      components = expected, generalisability = true / (true + relative),
      dependability = true / (true + absolute)
    )
  )
}
