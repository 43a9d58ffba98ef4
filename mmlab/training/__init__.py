"""Features in; trained models and out-of-fold predictions out."""

from mmlab.training.finetuning import (
    Pictures,
    Tokens,
    TunedModel,
    bucketed_batches,
    explain_memory,
    find_precision,
    prepare_pairs,
    read_batches,
    read_checkpoint,
    write_checkpoint,
)
from mmlab.training.loop import (
    AdamW,
    TrainingBar,
    apply_control,
    build_model,
    class_weights,
    cross_fit,
    drop_modalities,
    fit,
    model_bar,
    needed,
    predict,
    total_loss,
    warmup_cosine,
)
