"""The protocols: which classes prompts are tuned on, and what they are tested on."""

BASE_TO_NEW = "base-to-new"
GENERALIZED = "generalized"
FEW_SHOT = "few-shot"
TRANSFERS = ("cross-dataset", "domain-generalization")
PROTOCOLS = (BASE_TO_NEW, GENERALIZED, FEW_SHOT, *TRANSFERS)
HALVED = (BASE_TO_NEW, GENERALIZED)  # tuned on the first half of the classes
