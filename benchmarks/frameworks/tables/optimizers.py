"""Optimizers: five steps on gradients that both are given."""

from benchmarks.frameworks.case import optimizer

CASES = (
    optimizer("SGD(p, lr=0.1)", "SGD(0.1, p)"),
    optimizer("SGD(p, lr=0.1, weight_decay=0.05)", "SGD(0.1, p, weight_decay=0.05)"),
    optimizer("SGD(p, lr=0.1, momentum=0.9)", "Momentum(0.1, 0.9, p)"),
    optimizer("SGD(p, lr=0.1, momentum=0.9, weight_decay=0.05)", "Momentum(0.1, 0.9, p, weight_decay=0.05)"),
    optimizer("SGD(p, lr=0.1, momentum=0.9, nesterov=True)", "Momentum(0.1, 0.9, p, use_nesterov=True)"),
    optimizer("Adam(p, lr=0.1)", "Adam(0.1, parameters=p)"),
    optimizer("Adam(p, lr=0.1, betas=(0.8, 0.9), eps=0.001)", "Adam(0.1, 0.8, 0.9, 0.001, p)"),
    optimizer("Adam(p, lr=0.1, weight_decay=0.05)", "Adam(0.1, parameters=p, weight_decay=0.05)"),
    optimizer("Adam(p, lr=0.1, amsgrad=True)", "Adam(0.1, parameters=p, amsgrad=True)"),
    optimizer("AdamW(p, lr=0.1, weight_decay=0.05)", "AdamW(0.1, parameters=p, weight_decay=0.05)"),
    optimizer("AdamW(p, lr=0.1, weight_decay=0.0)", "AdamW(0.1, parameters=p, weight_decay=0.0)"),
    optimizer("AdamW(p, lr=0.1)", "AdamW(0.1, parameters=p)"),
    optimizer("NAdam(p, lr=0.1)", "NAdam(0.1, parameters=p)"),
    optimizer("RAdam(p, lr=0.1)", "RAdam(0.1, parameters=p)"),
    optimizer("Adamax(p, lr=0.1)", "Adamax(0.1, parameters=p)"),
    optimizer(
        "Adagrad(p, lr=0.1)", "Adagrad(0.1, parameters=p)", note="epsilon is 1e-6 unless it is given, torch's is 1e-10"
    ),
    optimizer("Adagrad(p, lr=0.1, eps=1e-06)", "Adagrad(0.1, parameters=p)"),
    optimizer("Adadelta(p, lr=0.1, eps=1e-06)", "Adadelta(0.1, parameters=p, rho=0.9)"),
    optimizer(
        "RMSprop(p, lr=0.1, alpha=0.9)", "RMSProp(0.1, 0.9, 1e-08, parameters=p)", note="eps is added inside the root"
    ),
    optimizer(
        "RMSprop(p, lr=0.1, alpha=0.9, momentum=0.9)",
        "RMSProp(0.1, 0.9, 1e-08, 0.9, parameters=p)",
        note="eps is added inside the root",
    ),
    optimizer(
        "RMSprop(p, lr=0.1, alpha=0.9, centered=True)",
        "RMSProp(0.1, 0.9, 1e-08, centered=True, parameters=p)",
        note="eps is added inside the root",
    ),
    optimizer("Rprop(p, lr=0.1)", "Rprop(0.1, parameters=p)"),
    optimizer(
        "ASGD(p, lr=0.1)",
        "ASGD(0.1, parameters=p)",
        note="another method: it averages gradients; torch lets the rate fall and averages weights",
    ),
)
