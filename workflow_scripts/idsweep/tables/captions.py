"""What each table of a sweep holds, in the words of its caption in the report (reStructuredText)."""

VARIANTS = (
    "``variant`` says what was measured: the data, random halves of them, or clouds without their structure (nulls)."
)

CAPTIONS = {
    "local": (
        "Local estimates in summary: one row for each estimator, model, checkpoint, dataset, layer, point cloud and variant. "
        "Mean, standard deviation and quantiles are over the points where the estimate is defined; ``n_undefined`` counts the "
        f"others. {VARIANTS}"
    ),
    "global": (
        "Global estimates: one value, with its standard error, for each estimator, model, checkpoint, dataset, layer, point "
        f"cloud and variant. {VARIANTS}"
    ),
    "training": (
        "Metrics over training: one value for each model, step and metric. Losses are in nats per predicted token, accuracies are "
        "shares. Metrics that were brought from elsewhere stand beside those of the models that were trained here."
    ),
    "events": (
        "What happened over training, in the mean local dimension or in a metric: one row for each curve and event, with the "
        "training step (the median over seeds) and its 95 % interval."
    ),
    "leads": (
        "Which came first, the local dimension or the metric: the steps from an event of the dimension to one of the metric, as the "
        "median over seeds with its 95 % interval. Positive: the dimension is ahead."
    ),
    "run_leads": (
        "Which came first in each run: the steps of an event of the local dimension and of one of a metric, and the steps between "
        "them. Positive: the dimension is ahead."
    ),
    "correlations": (
        "How the mean local dimension and a metric go together over training: rank correlation with its 95 % interval, and the "
        "largest correlation of their changes, with the steps by which the dimension runs ahead there."
    ),
    "reference": "Published values, with their source, that figures show beside the measured ones.",
    "losses": (
        "Loss (nats per token) and perplexity at the sampled tokens, one row for each checkpoint and dataset, with 95 % intervals "
        "that draw whole sequences anew."
    ),
    "shifts": (
        "Fine-tuned models against the models that they were made from, at the same tokens: the mean of the local estimates in "
        "both, the mean difference (fine-tuned less base) with its 95 % interval, the effect size, and the share of tokens whose "
        "estimate falls."
    ),
    "contrasts": (
        "Checkpoints and layers against each other, at the same tokens: the mean difference of the local estimates with its 95 % "
        "interval, which takes the tokens of a sequence as one cluster and knows of neighbourhoods that share points. ``contrast`` says against what: the same layer at the last or "
        "at the first checkpoint; at the same checkpoint the next layer, or the layer of the highest mean."
    ),
    "token_groups": (
        "Local estimates by kind of token: mean and quartiles for tokens of equal text, frequency, position, part of a word or class."
    ),
    "token_extremes": (
        "The tokens of lowest and of highest local dimension, in their context, with what the model makes of them."
    ),
    "loss_correlations": (
        "How the local dimension of tokens goes with what the model makes of them: correlations with log-probability, entropy, "
        "rank and margin, with 95 % intervals that draw whole sequences anew."
    ),
}
