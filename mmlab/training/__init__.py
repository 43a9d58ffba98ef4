"""Features in; trained models and out-of-fold predictions out."""

from mmlab.progress import model_bar
from mmlab.training.crossfit import CrossFit, TrainingBar, apply_control, cross_fit, show_training
from mmlab.training.ensemble import EnsembleModel
from mmlab.training.finetuning import TunedModel, TuningHooks, explain_memory, read_checkpoint, run_towers
from mmlab.training.inputs import Inputs, Pixels, Tokens, bucketed_batches, prepare_pairs, read_batches
from mmlab.training.loop import (
    AdamW,
    Fit,
    Hooks,
    class_weights,
    drop_modalities,
    fit,
    needed,
    predict,
    total_loss,
    warmup_cosine,
)
from mmlab.training.parts import build_model
