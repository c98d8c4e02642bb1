"""Patched vision-language models: forward, generate, and what the caller gets back."""

import copy
import pickle

import pytest
import torch

import timm_mergemix as mm
from timm_mergemix.merge.find.search import find_backbone
from timm_mergemix.merge.schedule import parse
from timm_mergemix.merge.settings import Settings
from timm_mergemix.merge.state import Merging

from .models import BUILDERS, IMAGE, PAD, R, labels_of, llava, prompts, row_of

safetensors = pytest.importorskip("safetensors.torch")
EACH = pytest.mark.parametrize("name", BUILDERS)
GREEDY = {"max_new_tokens": 6, "do_sample": False}
IMAGES = [1, 2, 1]


def merged(name):
    return mm.patch(BUILDERS[name](), R[name])


def dropped(name):
    return R[name][1]


@EACH
def test_r_0_is_the_unpatched_model_token_by_token(name):
    model, batch = BUILDERS[name](), prompts(name, IMAGES)
    with torch.no_grad():
        before, text = model(**batch, labels=labels_of(batch)), model.generate(**batch, **GREEDY)
    mm.patch(model, 0)
    with torch.no_grad():
        after = model(**batch, labels=labels_of(batch))
    assert torch.equal(after.logits, before.logits)
    assert torch.equal(after.loss, before.loss)
    assert torch.equal(model.generate(**batch, **GREEDY), text)


@EACH
def test_an_unpatched_model_is_what_it_was(name):
    model, batch = BUILDERS[name](), prompts(name, IMAGES)
    text, kind, keys = model.generate(**batch, **GREEDY), type(model), set(vars(model))
    mm.unpatch(mm.patch(model, R[name]))
    assert type(model) is kind
    assert set(vars(model)) == keys
    assert torch.equal(model.generate(**batch, **GREEDY), text)


def steps_of_attaching(model):
    """What `Reading.attach` does to a part, one step after another."""
    reading = find_backbone(model).reading
    state = Merging(Settings(parse(0, 3)), 4, reading.backbone.own_layout)
    yield setattr(model, "merging", state)
    yield setattr(model, "reading", reading)
    yield setattr(model, "__class__", reading.classes[type(model)])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_what_an_interrupted_patch_has_left_is_taken_out_by_the_next_call(count):
    model, batch = llava(), prompts("llava", IMAGES)
    plain, kind, keys = model.generate(**batch, **GREEDY), type(model), set(vars(model))
    for _ in zip(range(count), steps_of_attaching(model), strict=False):
        pass
    mm.unpatch(model)
    assert (type(model), set(vars(model))) == (kind, keys)
    assert torch.equal(model.generate(**batch, **GREEDY), plain)


@EACH
def test_the_language_model_gets_shorter_prompts_and_the_caller_gets_logits_for_its_own(name):
    model, batch = merged(name), prompts(name, IMAGES)
    lengths = []
    model.model.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: lengths.append(kwargs["inputs_embeds"].shape[1]), with_kwargs=True
    )
    with torch.no_grad():
        out = model(**batch)
    length = batch["input_ids"].shape[1]
    assert lengths == [length - 2 * dropped(name)]  # the longest row has two images; the others lose padding too
    assert out.logits.shape == (3, length, 100)


@EACH
@pytest.mark.parametrize("impl", ["eager", "sdpa"])
def test_decoding_with_a_cache_equals_decoding_without(name, impl):
    model, batch = merged(name), prompts(name, IMAGES)
    model.set_attn_implementation(impl)
    cached = model.generate(**batch, **GREEDY)
    assert torch.equal(cached, model.generate(**batch, **GREEDY, use_cache=False))
    assert torch.equal(cached[:, : batch["input_ids"].shape[1]], batch["input_ids"])


@EACH
def test_a_row_by_itself_equals_that_row_in_a_padded_batch(name):
    model, batch = merged(name), prompts(name, IMAGES)
    together, length = model.generate(**batch, **GREEDY), batch["input_ids"].shape[1]
    with torch.no_grad():
        logits = model(**batch).logits
    for row in range(len(IMAGES)):
        single = row_of(name, IMAGES, row)
        alone = single["input_ids"].shape[1]
        assert torch.equal(model.generate(**single, **GREEDY)[0, alone:], together[row, length:])
        with torch.no_grad():
            torch.testing.assert_close(model(**single).logits[0], logits[row, length - alone :], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["llava", "perception_lm"])
def test_padding_on_the_right_changes_no_logits(name):
    model = merged(name)
    left, right = prompts(name, IMAGES), prompts(name, IMAGES, left=False)
    with torch.no_grad():
        first, second = model(**left).logits, model(**right).logits
    real = [mask.bool() for mask in left["attention_mask"]], [mask.bool() for mask in right["attention_mask"]]
    for row in range(len(IMAGES)):
        torch.testing.assert_close(first[row, real[0][row]], second[row, real[1][row]], rtol=1e-4, atol=1e-4)


@EACH
def test_the_loss_is_the_mean_over_the_caller_s_labels(name):
    model, batch = merged(name), prompts(name, IMAGES)
    labels = labels_of(batch).masked_fill(batch["input_ids"] == 1, -100)  # nothing comes before the first token
    with torch.no_grad():
        out = model(**batch, labels=labels)
    wanted = torch.nn.functional.cross_entropy(out.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    torch.testing.assert_close(out.loss, wanted)


@EACH
def test_gradients_reach_the_vision_model_and_the_language_model(name):
    model, batch = merged(name).train(), prompts(name, IMAGES)
    model(**batch, labels=labels_of(batch)).loss.backward()
    tower, text = model.model.vision_tower, model.model.language_model
    for part in (tower, text):
        gradients = [p.grad for p in part.parameters() if p.ndim > 1 and p.grad is not None]
        assert gradients
        assert all(torch.isfinite(g).all() for g in gradients)
        assert any(g.abs().sum() > 0 for g in gradients)


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_gives_the_same_gradients(reentrant):
    model, batch = merged("llava").train(), prompts("llava", IMAGES)
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
            model.enable_input_require_grads()
        model.zero_grad()
        model(**batch, labels=labels_of(batch)).loss.backward()
        gradients.append(model.model.language_model.layers[0].mlp.up_proj.weight.grad.clone())
    torch.testing.assert_close(*gradients)


@EACH
def test_lengths_count_the_caller_s_prompt(name):
    model, batch = merged(name), prompts(name, IMAGES)
    length = batch["input_ids"].shape[1]
    assert model.generate(**batch, max_length=length + 4, do_sample=False).shape[1] == length + 4
    config = copy.deepcopy(model.generation_config)
    config.max_length = length + 3
    assert model.generate(**batch, generation_config=config, do_sample=False).shape[1] == length + 3
    assert config.max_length == length + 3
    model.generation_config.max_length = length + 2
    assert model.generate(**batch, do_sample=False).shape[1] == length + 2


@EACH
def test_beams_several_sequences_and_outputs_as_a_dictionary_begin_with_the_prompt(name):
    model, batch = merged(name), prompts(name, IMAGES)
    ids = batch["input_ids"]
    out = model.generate(
        **batch, max_new_tokens=4, num_beams=4, num_return_sequences=2, do_sample=False, return_dict_in_generate=True
    )
    assert torch.equal(out.sequences[:, : ids.shape[1]], ids.repeat_interleave(2, dim=0))


def test_the_prompt_may_come_first():
    model, batch = merged("llava"), prompts("llava", IMAGES)
    wanted = model.generate(**batch, **GREEDY)
    ids = batch.pop("input_ids")
    assert torch.equal(model.generate(ids, **batch, **GREEDY), wanted)
    with torch.no_grad():
        by_place = model(ids, batch["pixel_values"], batch["attention_mask"]).logits
        by_name = model(input_ids=ids, **batch).logits
    assert torch.equal(by_place, by_name)


@EACH
@pytest.mark.parametrize("kept", [1, 3])
def test_the_last_logits_are_those_of_all(name, kept):
    model, batch = merged(name), prompts(name, IMAGES)
    with torch.no_grad():
        every = model(**batch).logits
        last = model(**batch, logits_to_keep=kept).logits
        chosen = model(**batch, logits_to_keep=torch.tensor([2, -1])).logits
    torch.testing.assert_close(last, every[:, -kept:])
    torch.testing.assert_close(chosen, every[:, [2, -1]])


def test_embeddings_in_place_of_ids_find_their_images():
    model, batch = merged("llava"), prompts("llava", IMAGES)
    with torch.no_grad():
        wanted = model(**batch).logits
        embeds = model.get_input_embeddings()(batch.pop("input_ids"))
        torch.testing.assert_close(model(inputs_embeds=embeds, **batch).logits, wanted)


def test_positions_of_the_caller_lose_their_gaps():
    model, batch = merged("llava"), prompts("llava", [1, 1])
    positions = torch.arange(batch["input_ids"].shape[1]).expand(2, -1)
    with torch.no_grad():
        torch.testing.assert_close(model(**batch, position_ids=positions).logits, model(**batch).logits)


def test_without_a_mask_rows_with_fewer_images_are_hidden_where_they_are_padded():
    model = merged("llava")
    ids = torch.tensor([[1, *[IMAGE] * 16, 5, *[IMAGE] * 16, 6], [1, *[IMAGE] * 16, *range(20, 38)]])
    pixels = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        both = model(input_ids=ids, pixel_values=pixels).logits
        second = model(input_ids=ids[1:], pixel_values=pixels[2:]).logits
    torch.testing.assert_close(both[1:], second, rtol=1e-4, atol=1e-4)


def test_text_alone_is_left_as_it_is():
    model = llava()
    ids = torch.tensor([[1, 5, 6, 7]])
    with torch.no_grad():
        wanted = model(input_ids=ids).logits
        assert torch.equal(mm.patch(model, R["llava"])(input_ids=ids).logits, wanted)
    assert model.generate(input_ids=ids, **GREEDY).shape == (1, 10)


def test_a_tuple_comes_back_where_one_is_asked_for():
    model, batch = merged("llava"), prompts("llava", IMAGES)
    with torch.no_grad():
        assert torch.equal(model(**batch, return_dict=False)[0], model(**batch).logits)


@EACH
def test_the_model_inside_gives_hidden_states_for_the_caller_s_prompt(name):
    outer, batch = BUILDERS[name](), prompts(name, IMAGES)
    wanted = mm.patch(copy.deepcopy(outer), R[name])
    inner = mm.patch(outer.model, R[name])
    with torch.no_grad():
        states = inner(**batch).last_hidden_state
        torch.testing.assert_close(outer.lm_head(states), wanted(**batch).logits)
        # Trainers with a loss of their own call the model inside a patched one.
        torch.testing.assert_close(wanted.model(**batch).last_hidden_state, states)
    assert not hasattr(inner, "generate")


def test_settings_of_a_context_hold_for_prompts_too():
    model, batch = llava(), prompts("llava", IMAGES)
    plain = model.generate(**batch, **GREEDY)
    with mm.merging(model, R["llava"]):
        inside = model.generate(**batch, **GREEDY)
        with mm.merging(model, 0):
            assert torch.equal(model.generate(**batch, **GREEDY), plain)
    assert torch.equal(model.generate(**batch, **GREEDY), plain)
    assert torch.equal(mm.patch(model, R["llava"]).generate(**batch, **GREEDY), inside)


def test_the_vision_model_may_be_patched_first_or_unpatched_alone():
    model, batch = llava(), prompts("llava", IMAGES)
    plain = model.generate(**batch, **GREEDY)
    wanted = mm.patch(copy.deepcopy(model), R["llava"]).generate(**batch, **GREEDY)
    mm.patch(model.model.vision_tower, 2)
    assert model(**batch).logits.shape == (3, batch["input_ids"].shape[1], 100)  # all tokens come back
    assert torch.equal(mm.patch(model, R["llava"]).generate(**batch, **GREEDY), wanted)
    mm.unpatch(model.model.vision_tower)
    assert torch.equal(model.generate(**batch, **GREEDY), plain)
    assert torch.equal(mm.patch(model, R["llava"]).generate(**batch, **GREEDY), wanted)


@pytest.mark.parametrize(
    "remake", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["copy", "pickle"]
)
def test_a_copy_is_a_patched_model_of_its_own(remake):
    model, batch = merged("llava"), prompts("llava", IMAGES)
    other = remake(model)  # before it runs, since transformers then adds hooks that cannot be pickled
    wanted = model.generate(**batch, **GREEDY)
    mm.unpatch(model)
    assert torch.equal(other.generate(**batch, **GREEDY), wanted)


def test_saved_weights_are_those_of_a_plain_model(tmp_path):
    model, batch = llava(), prompts("llava", IMAGES)
    plain = model.generate(**batch, **GREEDY)
    model.save_pretrained(tmp_path / "plain")
    mm.patch(model, R["llava"]).save_pretrained(tmp_path)
    names = [safetensors.load_file(place / "model.safetensors").keys() for place in (tmp_path, tmp_path / "plain")]
    assert names[0] == names[1]
    loaded = type(llava()).from_pretrained(tmp_path)
    assert loaded.config.architectures == ["LlavaForConditionalGeneration"]
    assert torch.equal(loaded.generate(**batch, **GREEDY), plain)


def test_padding_is_never_the_token_of_an_image():
    model = llava()
    model.config.get_text_config().pad_token_id = IMAGE
    mm.patch(model, R["llava"])
    batch = prompts("llava", IMAGES)
    assert model.reading.padding_id(model) == PAD
    assert model.generate(**batch, **GREEDY).shape[0] == 3


@EACH
def test_lora_counts_before_the_patch_and_after_it(name):
    peft = pytest.importorskip("peft")
    batch, texts = prompts(name, IMAGES), []
    for first in (True, False):
        model = BUILDERS[name]()
        if first:
            mm.patch(model, R[name])
        torch.manual_seed(1)
        config = peft.LoraConfig(r=4, target_modules=["q_proj", "k_proj", "v_proj"], init_lora_weights=False)
        model = peft.get_peft_model(model, config).eval()
        if not first:
            mm.patch(model, R[name])
        texts.append(model.generate(**batch, **GREEDY))
        model(**batch, labels=labels_of(batch)).loss.backward()
    assert torch.equal(*texts)
    assert not torch.equal(texts[0], merged(name).generate(**batch, **GREEDY))


def test_a_compiled_model_is_the_model():
    model, batch = merged("llava"), prompts("llava", IMAGES)
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(**batch).logits, model(**batch).logits)
