# Writes cases of exploratory factors on simulated answers, every solution at its optimum.
#
#   Rscript make_factor_cases.R     (in this folder; needs psych, GPArotation, jsonlite)

suppressPackageStartupMessages(library(psych))
source("common.R")
none <- setNames(list(), character())
matrix_of <- function(x, rows, cols) {
  list(rows = I(rows), cols = I(cols), values = unname(unclass(as.matrix(x))))
}

set.seed(81)
n <- 400
f <- matrix(rnorm(3 * n), n) %*% chol(matrix(c(1, .4, .3, .4, 1, .35, .3, .35, 1), 3))
pattern <- matrix(0, 9, 3)
pattern[cbind(1:9, rep(1:3, each = 3))] <- c(.8, .7, .6, .75, .65, .55, .7, .6, .8)
z <- f %*% t(pattern) + matrix(rnorm(9 * n), n) %*% diag(sqrt(1 - rowSums(pattern^2)))
table <- as.data.frame(apply(z, 2, function(v) findInterval(v, c(-1.2, -.4, .4, 1.2)) + 1))
names(table) <- paste0("w", 1:9)
write_table(table, "three_facets.csv")
items <- names(table)
R <- cor(table)

# The package of the reference stops its searches early, so they go on here.
factors <- 3
ml <- factanal(covmat = R, n.obs = n, factors = factors, rotation = "none",
               control = list(opt = list(factr = 1e-3, pgtol = 1e-13)))
L <- unclass(ml$loadings)[, , drop = FALSE]
attributes(L) <- attributes(L)["dim"]
flip <- function(L) sweep(L, 2, ifelse(colSums(L) < 0, -1, 1), "*")
oblique <- GPArotation::oblimin(flip(L), eps = 1e-9, maxit = 1e5)
P <- oblique$loadings
Phi <- oblique$Phi
s <- ifelse(colSums(P) < 0, -1, 1)
P <- sweep(P, 2, s, "*"); Phi <- Phi * outer(s, s)
o <- order(-diag(Phi %*% crossprod(P)))
labels <- paste0("ML", 1:factors)
V <- flip(unclass(varimax(flip(L), eps = 1e-15)$loadings)[, ])
v <- order(-colSums(V^2))

fit_of <- function(fm) {
  x <- fa(R, factors, n.obs = n, fm = fm, rotate = "none")
  list(chi = x$STATISTIC, dof = x$dof, rms = x$rms,
       RMSEA = as.list(x$RMSEA[1:3]), TLI = x$TLI, BIC = x$BIC)
}
told <- list(
  items = items, reverse = none, missing = "listwise", complete_on = items,
  matrix = "correlation", factors = factors, map_components = 7, converged = TRUE,
  solutions = list(
    ml_oblimin = list(extraction = "ml", rotation = "oblimin"),
    ml_varimax = list(extraction = "ml", rotation = "varimax")
  ),
  rmsea_confidence = 0.9, tolerances = list(minres_fit = 1e-4, ml_fit = 1e-4)
)
kmo <- KMO(R)
bartlett <- cortest.bartlett(R, n = n)
write_case(
  "factors-simulated", "efa_pca", "three_facets.csv", told,
  paste("psych::KMO, cortest.bartlett, vss, fa; stats::factanal(factr = 1e-3),",
        "GPArotation::oblimin(eps = 1e-9), stats::varimax(eps = 1e-15)"),
  version_of("psych", "GPArotation"), "iterative", 1e-5,
  "Nine simulated items of three correlated factors. Loadings are those of converged searches.",
  list(
    eigenvalues = eigen(R)$values, KMO = kmo$MSA, MSA = named(kmo$MSAi),
    bartlett = list(chisq = bartlett$chisq, p = bartlett$p.value, df = bartlett$df),
    velicer_map = vss(R, n = 7, rotate = "none", n.obs = n, plot = FALSE)$map,
    minres_fit = fit_of("minres"), ml_fit = fit_of("ml"),
    ml_uniqueness = named(setNames(ml$uniquenesses, items)),
    ml_oblimin = matrix_of(P[, o], items, labels),
    ml_oblimin_phi = matrix_of(Phi[o, o], labels, labels),
    ml_varimax = matrix_of(V[, v], items, labels)
  )
)

# Omega hierarchical -------------------------------------------------------------------------

x <- suppressWarnings(omega(R, nfactors = 3, n.obs = n, plot = FALSE, flip = FALSE))
sl <- unclass(x$schmid$sl)
groups <- paste0("F", 1:3, "*")
own <- max.col(sl[, groups])
turned <- unique(own) # groups in the order of their first items
sl[, groups] <- sl[, groups][, turned]
x$omega.group <- x$omega.group[c(1, 1 + turned), ]
rownames(x$omega.group) <- c("g", groups)
keep <- c("g", groups, "h2", "u2", "p2")
write_case(
  "omegah-simulated", "omega_hierarchical", "three_facets.csv",
  list(
    items = items, reverse = none, missing = "listwise", complete_on = items, input = "raw",
    n = NULL, factors = 3, extraction = "minres", rotation = "oblimin",
    general_loadings_if_two_factors = "equal", sign_reversal = FALSE,
    tolerances = list(schmid_sl = 0.02)
  ),
  "psych::omega(R, nfactors = 3, flip = FALSE)", version_of("psych", "GPArotation"),
  "iterative", 5e-4,
  "Nine simulated items of three correlated factors. Loadings near 0 are those of early stops.",
  list(
    omega_h = x$omega_h, alpha = x$alpha, omega_total = x$omega.tot, G6 = x$G6,
    ECV = list(g = x$ECV[[1]]),
    omega_group = columns(x$omega.group),
    schmid_sl = matrix_of(sl[, keep], items, keep)
  )
)
