"""A selector of features with scikit-learn's interface."""

from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

import ksubset
from ksubset.backends.sklearn.data import Data, prepared, weights_of
from ksubset.backends.sklearn.training import Settings, train


class SubsetSelector(SelectorMixin, BaseEstimator):
    r"""Choose k features jointly, by training the distribution of the subset together with a linear model.

    A model sees only the features of a random subset, drawn anew in every step from the k-subset distribution with one
    logit for each feature. The model and the logits descend the same loss together,

    .. math:: \min_{\theta, W, b} \; \mathbb{E}_{z \sim p_\theta} \sum_i w_i \,
        \ell\bigl(y_i, (x_i \odot z) W + b\bigr) \big/ \textstyle\sum_i w_i

    with a penalty on W. The gradient of the logits is SIMPLE: the Jacobian of the marginals times the gradient of the
    loss with respect to z. In the end the k likeliest features are kept, and the model is dropped. Features that say
    the same compete, whereas a score for each feature alone would keep them all.

    Parameters
    ----------
    n_features_to_select : int, float or None, default=None
        k, or the share of the features to select if it is a float between 0 and 1; by default half of them.
    task : {"auto", "classification", "regression"}, default="auto"
        Whether the loss ℓ is the logistic one or the squared error of y in units of its standard deviation. By default
        the dtype of y decides: regression for floats, even if all are whole, and classification for ints, bools and
        strings.
    alpha : float, default=1.0
        The penalty on the model's weights, α‖W‖²/2 beside the sum of the losses, as in scikit-learn's ``Ridge``; it is
        1/C of ``LogisticRegression``.
    n_draws : int, default=8
        Subsets drawn for each step. More make the gradient less noisy, and the step longer in proportion.
    learning_rate : float, default=0.05
        Adam's, for the logits and for the model.
    max_iter : int, default=1000
        The largest number of steps.
    tol : float, default=1e-2
        Stop when every inclusion probability is within ``tol`` of 0 or of 1. With 0 all steps are made.
    random_state : int, RandomState instance or None, default=None
        Source of the draws; an int makes results repeatable.

    Attributes
    ----------
    logits_ : ndarray of shape (n_features,)
        The logits that were learned.
    inclusion_probabilities_ : ndarray of shape (n_features,)
        The probability of each feature to be in the subset; they sum to k. Near 0 and 1 where the data decide, between
        where features are interchangeable.
    support_ : ndarray of shape (n_features,)
        The mask of the features selected.
    n_features_to_select_ : int
        k.
    n_iter_ : int
        How many steps were made.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of features seen in `fit`, where all are strings.

    Notes
    -----
    Every step uses all samples: two products of the data with a matrix of n_draws columns for each class. Features are
    standardised inside; what ``transform`` returns is not. Sparse data are refused, since standardising makes them
    dense.

    References
    ----------
    Ahmed et al., "SIMPLE: A Gradient Estimator for k-Subset Sampling", ICLR 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from ksubset.backends.sklearn import SubsetSelector
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> selector = SubsetSelector(3, random_state=0).fit(X, y)
    >>> selector.transform(X).shape, "proline" in selector.get_feature_names_out()
    ((178, 3), True)
    """

    def __init__(
        self,
        n_features_to_select: int | float | None = None,
        *,
        task: Literal["auto", "classification", "regression"] = "auto",
        alpha: float = 1.0,
        n_draws: int = 8,
        learning_rate: float = 0.05,
        max_iter: int = 1000,
        tol: float = 1e-2,
        random_state: Any = None,
    ) -> None:
        self.n_features_to_select = n_features_to_select
        self.task = task
        self.alpha = alpha
        self.n_draws = n_draws
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn which features to select.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Dense, without NaN.
        y : array-like of shape (n_samples,)
            Classes, or numbers.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, at least 0; by default 1.

        Returns
        -------
        self : SubsetSelector
            Fitted.
        """
        settings = self._settings()
        X, y = validate_data(self, X, y, dtype=np.float64)
        data = prepared(X, y, weights_of(sample_weight, X), self.task)
        self.n_features_to_select_ = self._size(X.shape[1])
        self._learn(data, settings)
        return self

    def _learn(self, data: Data, settings: Settings) -> None:
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        k = self.n_features_to_select_
        self.logits_, self.n_iter_ = train(data, k, settings, rng)
        self.inclusion_probabilities_ = ksubset.marginals(self.logits_, k)
        self.support_ = ksubset.mode(self.logits_, k) == 1

    def _settings(self) -> Settings:
        """The numbers that steer the training, checked."""
        for name, least in {"alpha": 0, "learning_rate": 0, "tol": 0, "n_draws": 1, "max_iter": 1}.items():
            value: Any = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral if least else Real):
                raise TypeError(f"{name} must be {'an int' if least else 'a number'}; got {value!r}")
            if not least <= float(value) < np.inf:
                raise ValueError(f"{name} must be at least {least} and finite; got {value!r}")
        return Settings(self.alpha, self.n_draws, self.learning_rate, self.max_iter, self.tol)

    def _size(self, n: int) -> int:
        """The number of features to select, of n."""
        wanted: Any = self.n_features_to_select
        if wanted is None:
            return max(1, n // 2)
        if isinstance(wanted, bool) or not isinstance(wanted, Real):
            raise TypeError(f"n_features_to_select must be an int, a float or None; got {wanted!r}")
        if isinstance(wanted, Integral):
            if not 1 <= int(wanted) <= n:
                raise ValueError(f"n_features_to_select must be in [1, {n}], the number of features; got {wanted}")
            return int(wanted)
        if not 0 < float(wanted) < 1:
            raise ValueError(f"n_features_to_select must be between 0 and 1 where it is a float; got {wanted}")
        return max(1, int(float(wanted) * n))

    def _get_support_mask(self) -> np.ndarray:
        check_is_fitted(self)
        support: np.ndarray = self.support_
        return support

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
