"""The gateways of one run: who is there, and how a process comes, is stopped, goes and dies."""

from collections.abc import Callable

from tests.kit.world import World
from tests.simulation.gateway import Gateway, Surroundings

GIVE_UP = 120.0  # virtual seconds
LOOK = 0.25


class Fleet:
    """All gateways that ever were.

    Attributes:
        gateways: those that were not killed.
    """

    def __init__(self, world: World, around: Surroundings, *, is_static: bool) -> None:
        """`is_static`: each has a group instance id of its own, which it keeps when it is started again."""
        self.gateways: list[Gateway] = []
        self._world = world
        self._around = around
        self._is_static = is_static
        self._dead: list[Gateway] = []
        self._started = 0
        self._pods = 0

    def join(self) -> None:
        """One more comes."""
        self._pods += 1
        self.start(f"pod-{self._pods}" if self._is_static else None)

    def start(self, instance_id: str | None) -> None:
        """A process is started, under an id or without."""
        self._started += 1
        self.gateways.append(Gateway(self._world, f"gateway {self._started}", self._around, instance_id=instance_id))

    def any_running(self) -> Gateway | None:
        """One that works, by the dice."""
        running = [gateway for gateway in self.gateways if gateway.running]
        return self._world.random.choice(running) if running else None

    def kill(self) -> None:
        """kill -9, somewhere in the middle; another is started in its place."""
        gateway = self.any_running()
        if gateway is not None:
            self._at_some_step(gateway, lambda: self._killed(gateway))

    def _killed(self, gateway: Gateway) -> None:
        if gateway.left:
            return
        self._bring_down(gateway)
        pause = self._world.random.choice((0.02, 0.02, 0.5, 4.0))
        self._world.after(pause, self.start, gateway.instance_id)

    def stop(self) -> None:
        """SIGSTOP, somewhere in the middle, and SIGCONT some seconds later."""
        gateway = self.any_running()
        if gateway is not None:
            self._at_some_step(gateway, lambda: self._stopped(gateway))

    def _stopped(self, gateway: Gateway) -> None:
        gateway.process.stop_signal()
        self._world.after(self._world.random.uniform(0.1, 6.0), gateway.process.continue_signal)

    def terminate(self) -> None:
        """SIGTERM; another is started in its place."""
        gateway = self.any_running()
        if gateway is not None:
            gateway.terminate()
            self._world.after(self._world.random.uniform(0.0, 3.0), self._start_again, gateway)

    def _start_again(self, gateway: Gateway) -> None:
        if gateway.left or gateway.instance_id is None:
            self.start(gateway.instance_id)
        elif gateway.process.alive:
            self._world.after(LOOK, self._start_again, gateway)

    def _at_some_step(self, gateway: Gateway, blow: Callable[[], None]) -> None:
        gateway.process.blow = blow
        steps = self._world.random.choice((0, self._world.random.randint(1, 60)))
        if self._world.random.random() < 0.5:
            gateway.process.armed = steps
        else:
            gateway.process.fuse = steps

    def start_if_none_is_left(self) -> None:
        """As every deployment does, also where the last one left by itself: its own delayed JoinGroup replaced it."""
        if not any(gateway.process.alive for gateway in self.gateways):
            self.join()

    def see_members(self) -> None:
        """See that every gateway that goes on becomes a member of the group."""
        until, group = self._world.now + GIVE_UP, self._around.broker.group
        while (
            gone := [one for one in self.gateways if one.running and not group.has(one.process.name)]
        ) and self._world.now < until:
            self._world.run(self._world.now + LOOK)
        self._world.errors += [f"{one.process.name} is no member of the group and goes on" for one in gone]

    def kill_all(self) -> None:
        """None is left; each is started again by and by."""
        for gateway in [gateway for gateway in self.gateways if gateway.process.alive]:
            self._bring_down(gateway)
            self._world.after(self._world.random.uniform(0.02, 4.0), self.start, gateway.instance_id)

    def leave(self) -> None:
        """All are told to leave, and have left."""
        for gateway in self.gateways:
            gateway.terminate()
        until = self._world.now + GIVE_UP
        while self._world.now < until and any(not one.left for one in self.gateways if one.process.alive):
            self._world.run(self._world.now + LOOK)

    def bury(self) -> None:
        """Leave no coroutine behind."""
        for gateway in (*self.gateways, *self._dead):
            gateway.process.bury()

    def _bring_down(self, gateway: Gateway) -> None:
        gateway.process.kill()
        self.gateways.remove(gateway)
        self._dead.append(gateway)
