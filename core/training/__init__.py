"""Training one trial; `fit` is the main path. Encoders, views, methods and the estimator import it."""
