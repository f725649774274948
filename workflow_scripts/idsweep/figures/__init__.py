"""Figures: one module per figure, tidy tables in, one matplotlib figure out.

A figure is a public module of this package with one function `draw`. Its positional parameters name
the tables that it needs, its keyword-only parameters are the options that a config may set.

What else it needs is said by a literal `NEEDS` in its module, a dictionary of those of the keys below that differ. A sweep that
lacks it is refused before anything runs, and options are checked against the sweep as it says.

    texts: True               hidden states of texts; False for what shows embedding matrices as well
    log_probabilities: False  a model that predicts tokens
    comparisons: False        a model that is compared with another; the option `checkpoints` is then about such models
    metrics: ()               metrics that each model with several checkpoints must have, of those chosen by `models`
    varies: None              a key of catalog entries that a model must vary, as "training.rank"
    representations: ()       embedding matrices or combinations of which a model must be measured, where there is no option
                              `representations`, whose value is needed in their place
    one_base: False           one model of these representations beside those that vary `varies`, unless the option `base` names it
    layers: "numbers"         what the option `layers` counts: numbers of layers, negative ones from the last, or "places"
                              among those that are measured, where negative
    estimator: "name"         what the option `estimator` is: the name of an estimate, or the "beginning" of names up to a "-"
"""
