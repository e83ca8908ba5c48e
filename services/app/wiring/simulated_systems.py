"""Build and run the simulated systems of `termijn up --sample`."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event

from consumers.simulated_systems import SimulatedSystemsLoop
from services.agent.simulated.systems import SHOWN, SimulatedSystems, SystemBehaviour
from services.app.settings import Settings
from services.app.wiring.required_topics import required_topics
from services.app.wiring.resources import open_resources, utc_now
from services.crypto.shredding import Shredder
from services.kafka.access import SAMPLE_SYSTEMS
from services.operations import logs
from services.policy.model import Policy
from services.policy.validation_encryption import key_systems


def run_simulated_systems(settings: Settings, stop: Event, silent: Sequence[str] = ()) -> None:
    """Run the simulated systems until `stop` is set; their stores are in the data directory."""
    with open_resources(settings) as opened:
        logs.configure(settings.operating.log_format)
        policy, bus = opened.policy_in_force(), opened.kafka_client()
        required = required_topics(policy)
        bus.ensure_topics(opened.kafka_access(SAMPLE_SYSTEMS, policy).topics)
        signatures = opened.signing()
        signers = signatures.simulated_signers(required.acknowledgements)
        systems = simulated_systems(settings, policy, silent)
        systems.reads = lambda system: signatures.simulated_private_key(system, utc_now())
        if key_systems(policy):
            systems.shredder = Shredder(opened.vault().database)
        SimulatedSystemsLoop(
            bus=bus,
            codec=opened.codec(policy),
            business=required.business,
            commands={topic.name: topic for topic in required.commands.values()},
            acknowledgements=required.acknowledgements,
            systems=systems,
            sender=bus.open_producer(),
            verifier=signatures.command_verifier(),
            signers=signers,
            now=utc_now,
        ).run(stop)


def simulated_systems(
    settings: Settings, policy: Policy, silent: Sequence[str] = ()
) -> SimulatedSystems:
    """Return the simulated systems with their stores; the `silent` ones never acknowledge."""
    directory = settings.storage.data / "systems"
    behaviours = {**SHOWN, **{system: SystemBehaviour(manner="silent") for system in silent}}
    return SimulatedSystems(policy=policy, directory=directory, behaviours=behaviours)
