"""Where tasks come from if not from CARML, and where runs start."""

import math

import pytest
import torch

from carml import runs
from scalable_binding.carml import round_files
from scalable_binding.carml.config import DeepClusterConfig, DiscriminatorConfig, StartConfig
from scalable_binding.carml.discriminator import Discriminator, DiscriminatorSource
from scalable_binding.carml.inference import load
from scalable_binding.carml.model import init_policy
from scalable_binding.carml.rnd import Distillation, NoveltyReward, NoveltySource
from scalable_binding.carml.rollout import collect
from scalable_binding.carml.task_rewards import TaskReward, parse
from scalable_binding.carml.task_sources import ContextualEnv, ContextualTasks, GivenTasks
from scalable_binding.carml.train import load_initial_weights, train
from scalable_binding.engine.checkpoint import latest_step, read_tensors
from scalable_binding.engine.distributed import DistributedContext
from scalable_binding.envs import registry
from scalable_binding.envs.maze import Maze
from scalable_binding.errors import UserError

ALONE = DistributedContext(0, 1, torch.device("cpu"))
METHODS = ["rnd", "metra", "pretrained-discriminator"]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def classifier(temperature=3.0, shape=(2,)):
    config = DiscriminatorConfig(temperature=temperature, hidden=16, batch_size=64, lr=1e-2)
    return Discriminator(shape, 4, config, DeepClusterConfig(encoder="small", width=8))


def test_discriminator_pays_log_posterior_less_log_prior():
    found, states, tasks = classifier(), torch.randn(5, 2), torch.tensor([0, 3, 2, 1, 1])
    found.init_weights(torch.randn(100, 2), generator(), None)
    features = found.encode(states)
    posterior = (found.head(features) / 3.0).softmax(-1)
    expected = posterior.gather(-1, tasks[:, None])[:, 0].log() - math.log(1 / 4)
    assert torch.allclose(found.paired_log_likelihood(features, tasks), expected, atol=1e-6)
    assert torch.equal(found.marginal(features), torch.zeros(5))
    table = found.log_likelihood(features, torch.arange(4))
    assert torch.allclose((table.exp() / 4).sum(-1), torch.ones(5))


def test_temperature_softens():
    hot, cold = classifier(9.0), classifier(1.0)
    for found in (hot, cold):
        found.init_weights(torch.randn(100, 2, generator=generator()), generator(1), None)
    states = 5 * torch.randn(50, 2)
    spreads = [f.log_likelihood(f.encode(states), torch.arange(4)).std() for f in (hot, cold)]
    assert spreads[0] < spreads[1]


def test_discriminator_learns_which_task_a_state_belongs_to():
    found, tasks = classifier(1.0), torch.arange(400) % 4
    corners = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    states = corners[tasks] + 0.2 * torch.randn(400, 2, generator=generator())
    found.init_weights(states, generator(), None)
    optimizer = torch.optim.Adam(found.parameters(), 1e-2)
    figures = found.learn(states, tasks, optimizer, 100, generator(), None)
    assert figures["discriminator_accuracy"] > 0.9
    paid = found.paired_log_likelihood(found.encode(corners), torch.arange(4))
    assert float(paid.min()) > 0.5 * math.log(4)


def test_discriminator_of_pixels_has_an_encoder():
    found = classifier(shape=(3, 16, 16))
    images = torch.randint(0, 255, (10, 3, 16, 16), dtype=torch.uint8)
    found.init_weights(images, generator(), None)
    assert found.eval().encode(images).shape == (10, 8)


def test_density_free_methods_refuse_a_vae():
    config = runs.small(method="online-discriminator", scaffold__kind="vae")
    with pytest.raises(UserError, match=r"scaffold\.kind: expected mixture"):
        DiscriminatorSource(config, Maze(num_envs=2), ALONE)


def test_contextual_policy_sees_its_task_and_nobody_else_does():
    env = ContextualEnv(Maze(num_envs=6), 4)
    source = ContextualTasks(runs.small(method="contextual"), env, ALONE)
    policy = init_policy(0, observation=(6,), actions=9, widths=(), hidden=8, head=8)
    first = collect(env, policy, NoReward(), 1, generator())
    assert torch.equal(first.observations[..., 2:], torch.zeros(6, 1, 20, 4))
    for _ in range(2):
        source.update(collect(env, policy, NoReward(), 2, generator()), NoReward(), generator())
    source.fit_tasks(generator())
    reward = source.sample(6, generator())
    trials = collect(env, policy, reward, 2, generator())
    told = trials.observations[..., 2:]
    expected = torch.nn.functional.one_hot(reward.told.tasks, 4).float()
    assert torch.equal(told, expected[:, None, None].expand_as(told))
    source.update(trials, reward, generator())
    assert source.inner.reservoir.trajectories.shape[-1] == 2


class NoReward:
    def begin(self, observation):
        pass

    def step(self, step, env):
        return torch.zeros(env.num_envs)


def test_contextual_policy_on_pixels_is_refused():
    env = Maze(num_envs=2)
    env.observation_space = type(env.observation_space)(0, 255, (3, 8, 8))
    with pytest.raises(UserError, match="contextual policy: expected states"):
        ContextualEnv(env, 4)


def test_what_was_seen_often_is_no_longer_new():
    network = Distillation((2,), 16)
    often, never = torch.rand(256, 2), torch.rand(256, 2) + torch.tensor([2.0, 0.0])
    network.init_weights(torch.cat([often, never]), generator(), None)
    optimizer = torch.optim.Adam(network.predictor.parameters(), 1e-3)
    before = float(network(often).detach().mean())
    for _ in range(100):
        optimizer.zero_grad()
        network(often).mean().backward()
        optimizer.step()
    with torch.no_grad():
        assert network(often).mean() < 0.3 * before
        assert network(never).mean() > 3 * network(often).mean()
    assert not any(p.requires_grad for p in network.target.parameters())


@pytest.mark.parametrize("side", [24, 84])
def test_novelty_of_pixels(side):
    network = Distillation((3, side, side), 16)
    images = torch.randint(0, 255, (4, 3, side, side), dtype=torch.uint8)
    network.init_weights(images, generator(), None)
    assert network(images).shape == (4,)


def test_novelty_is_paid_in_units_of_its_deviation():
    source = NoveltySource(runs.small(method="rnd"), Maze(num_envs=16), ALONE)
    env, policy = (
        Maze(num_envs=16),
        init_policy(0, observation=(2,), actions=9, hidden=8, widths=()),
    )
    source.update(collect(env, policy, NoReward(), 2, generator()), NoReward(), generator())
    reward = source.sample(16, generator())
    assert isinstance(reward, NoveltyReward)
    trials = collect(env, policy, reward, 2, generator())
    assert trials.rewards.min() >= 0
    figures = source.update(trials, reward, generator())
    assert math.isfinite(figures["novelty"])


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_stopped_and_resumed_is_the_same_as_never_stopped(method, tmp_path):
    for name, steps in (("whole", (4,)), ("parts", (2, 4))):
        for count in steps:
            train(runs.small(method=method, fit__steps=count), tmp_path / name)
    states = [
        {
            f.name: read_tensors(f)
            for f in (tmp_path / name / "state" / "step-4").glob("*.safetensors")
        }
        for name in ("whole", "parts")
    ]
    assert latest_step(tmp_path / "parts") == 4
    for file, tensors in states[0].items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, states[1][file][name]), name


@pytest.mark.slow
def test_pipelined_agent_learns_the_tasks_of_the_contextual_policy(tmp_path):
    run = runs.make(tmp_path / "run", method="pipelined")
    made, learned = round_files.read_round(run / "skills"), round_files.read_round(run)
    assert round_files.list_rounds(run / "skills") == [1, 2]
    assert all(torch.equal(made.scaffold[name], learned.scaffold[name]) for name in made.scaffold)
    assert made.policy["rnn.weight_ih_l0"].shape[1] == learned.policy["rnn.weight_ih_l0"].shape[1]
    assert made.policy["encoder.0.weight"].shape[1] == 2 + 4
    assert learned.policy["encoder.0.weight"].shape[1] == 2


def test_one_task_is_the_same_for_everyone():
    task = parse("goal=300,200", "maze")
    source = GivenTasks(lambda num, random: task)
    env = Maze(num_envs=5)
    reward = source.sample(5, generator())
    policy = init_policy(0, observation=(2,), actions=9, hidden=8, widths=())
    figures = source.update(collect(env, policy, reward, 2, generator()), reward, generator())
    assert isinstance(reward, TaskReward)
    assert figures["return_last"] == pytest.approx(float(reward.returns[-1].mean()))
    assert 0 <= figures["solved_last"] <= 1


def test_task_goes_with_ppo_and_with_nothing_else():
    with pytest.raises(UserError, match="task: expected a task with method ppo"):
        runs.small(method="ppo")
    with pytest.raises(UserError, match="task: expected"):
        runs.small(task="own")


def test_rounds_are_kept_and_read(tmp_path):
    run = runs.make(tmp_path / "run")
    assert round_files.list_rounds(run) == [1, 2]
    first, last = round_files.read_round(run, 1), round_files.read_round(run)
    assert last.number == 2
    assert first.scaffold.keys() == last.scaffold.keys() >= {"means", "log_weights"}
    assert not torch.equal(first.policy["actor.0.weight"], last.policy["actor.0.weight"])
    with pytest.raises(UserError, match="expected round 7, got 1, 2"):
        round_files.read_round(run, 7)


def test_run_begins_with_a_policy_or_with_its_encoder(tmp_path):
    run = runs.make(tmp_path / "run")
    trained = load(run)
    for part in ("policy", "encoder"):
        fresh = init_policy(5, observation=(2,), actions=9, widths=(8,), hidden=8, head=8)
        load_initial_weights(fresh, StartConfig(weights=str(run), part=part))
        assert torch.equal(fresh.encoder[0].weight, trained.encoder[0].weight)
        same = torch.equal(fresh.actor[0].weight, trained.actor[0].weight)
        assert same == (part == "policy")
    other = init_policy(5, observation=(2,), actions=9, widths=(4,), hidden=8, head=8)
    with pytest.raises(UserError, match="shape"):
        load_initial_weights(other, StartConfig(weights=str(run)))
    bare = init_policy(0, observation=(2,), actions=9, widths=(), hidden=8, head=8)
    with pytest.raises(UserError):
        load_initial_weights(bare, StartConfig(weights=str(run), part="encoder"))


@pytest.mark.parametrize("settings", [{"temperature": 0.0}, {"steps": 0}, {"lr": -1.0}])
def test_impossible_discriminators_are_refused(settings):
    with pytest.raises(UserError, match=f"discriminator.{next(iter(settings))}"):
        DiscriminatorConfig(**settings)


def test_discriminator_with_lambda_pays_for_rare_states_too(tmp_path):
    """Eq. 4.33: lambda (log q(z|s) - log p(z)) + (lambda - 1) log q(s)."""
    source = DiscriminatorSource(
        runs.small(method="online-discriminator", reward__weight=0.5), Maze(num_envs=24), ALONE
    )
    env = Maze(num_envs=24)
    policy = init_policy(0, observation=(2,), actions=9, hidden=8, widths=())
    trials = collect(env, policy, NoReward(), 2, generator())
    source.update(trials, NoReward(), generator())
    source.fit_tasks(generator())
    found, reward = source.scaffold, source.sample(24, generator())
    states = trials.trajectories[:, 0, -1]
    features = found.encode(states)
    posterior = found._logits(features).log_softmax(-1).gather(-1, reward.tasks[:, None])[:, 0]
    density = found.marginal(features)
    assert density.std() > 0.1, "some states are rarer than others"
    expected = 0.5 * (posterior + math.log(4)) - 0.5 * density
    torch.testing.assert_close(reward.raw(states).float(), expected.detach())


def test_a_classifier_of_pixels_runs_where_its_encoder_is(monkeypatch):
    """A device that is not the CPU: the meta device, whose network is replaced."""
    found, seen = classifier(shape=(3, 24, 24)), []
    found.encoder.to("meta")

    def forward(images):
        seen.append(images.device.type)
        return torch.ones(len(images), 8)

    monkeypatch.setattr(found.encoder, "forward", forward)
    images = torch.zeros(6, 3, 24, 24, dtype=torch.uint8)
    logits, loss = found.classify(images, torch.zeros(6, dtype=torch.int64))
    assert seen == ["meta"] and logits.device.type == loss.device.type == "cpu"
    assert found.encode(images).device.type == "cpu"


def test_a_classifier_of_pixels_is_put_on_the_device_of_the_run():
    config = runs.small(method="online-discriminator", environment__name="room")
    ranks = DistributedContext(0, 1, torch.device("meta"))
    source = DiscriminatorSource(config, registry.make("room", 2), ranks)
    assert source.scaffold.encoder.device.type == "meta"
    assert source.scaffold.head[0].weight.device.type == "cpu"
