"""Models that are made from a configuration are built from plain options."""

from __future__ import annotations

from typing import Any

import pytest

from alignment.backends.configured import construct
from alignment.errors import AlignmentError


class Config:
    """As those of transformers: any keyword becomes an attribute."""

    def __init__(self, hidden_size: int = 8, **others: Any) -> None:
        self.hidden_size, self.vocab_size = hidden_size, 10
        self._attn_implementation, self.eos_token_id = "eager", 2
        self.__dict__.update(others)


class Model:
    """As those of transformers."""

    config_class = Config

    def __init__(self, config: Config, add_pooling_layer: bool = True) -> None:
        self.config, self.pooled = config, add_pooling_layer


def test_options_are_fields_of_the_configuration_or_arguments_of_the_model() -> None:
    model = construct(Model, {"hidden_size": 16, "add_pooling_layer": False, "output_attentions": True})
    assert (model.config.hidden_size, model.pooled, model.config.output_attentions) == (16, False, True)
    assert construct(Model, {}).config.hidden_size == 8


def test_a_configuration_may_be_given_as_a_table_or_as_it_is() -> None:
    table = construct(Model, {"config": {"hidden_size": 4}, "add_pooling_layer": False})
    assert (table.config.hidden_size, table.pooled) == (4, False)
    config = Config(hidden_size=2)
    assert construct(Model, {"config": config}).config is config


def test_a_field_that_looks_misspelt_is_refused() -> None:
    with pytest.raises(AlignmentError, match=r"Config has no field 'hiden_size'; did you mean hidden_size\?"):
        construct(Model, {"hiden_size": 16})
    assert construct(Model, {"attn_implementation": "sdpa"}).config.attn_implementation == "sdpa"


@pytest.mark.parametrize("name", ["decoder_start_token_id", "bos_token_id", "id2label", "vocab_type"])
def test_a_field_that_the_class_does_not_declare_is_passed_on(name: str) -> None:
    assert getattr(construct(Model, {name: 1}).config, name) == 1


def test_any_other_builder_is_called_with_its_options() -> None:
    assert construct(dict, {"a": 1}) == {"a": 1}
