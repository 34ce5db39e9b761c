"""The access policy: what a user may see of a job or a message, and what they may do with it.

Pure functions over facts that `cogs.shared.channel_facts` collects from Discord. Every button,
command, context menu, mention and message link asks this module and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFacts:
    """A channel as one user finds it now: a server's channel or thread, or a direct message.

    The permissions are the user's own in this channel, with roles and overwrites applied; for a
    thread they are those of its parent channel. `age_restricted` is also true where Discord does
    not say whether the channel is.
    """

    id: int
    guild_id: int | None
    view_channel: bool = False
    read_message_history: bool = False
    manage_messages: bool = False
    manage_threads: bool = False
    private_thread: bool = False
    thread_member: bool = False
    age_restricted: bool = False

    @property
    def readable(self) -> bool:
        """Whether the user can read the messages of the channel.

        A private thread is open to its members and to Manage Threads only, whatever the
        permissions of its parent say.
        https://discord.com/developers/docs/topics/threads#private-threads
        """
        inside = not self.private_thread or self.thread_member or self.manage_threads
        return self.view_channel and self.read_message_history and inside

    @property
    def moderated(self) -> bool:
        """Whether the user may moderate the messages of the channel."""
        return self.readable and self.manage_messages and self.guild_id is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """A job as one user finds it now.

    `here` is the channel in which the user acts and in which the reply is posted. `origin` is the
    channel in which the job was requested, None if the bot cannot see it any more. `sources` are
    the channels of the messages that the source pictures were taken from; none for an uploaded
    file, a link, or a result. `sources_known` is False if there was such a channel and the bot
    cannot see it any more. `sources_here` says that the readers of `here` may see the sources: the
    job was requested here, with pictures that were uploaded, linked, or taken from this channel.
    `stored` is False after the retention time.
    """

    owner: bool
    here: ChannelFacts
    origin: ChannelFacts | None
    sources: tuple[ChannelFacts, ...] = ()
    sources_known: bool = True
    sources_here: bool = True
    stored: bool = True
    private: bool = False
    age_restricted: bool = False


class AccessRule(Enum):
    """Who may use an action on a job. Every button declares one."""

    RESULT = auto()
    """Users who may see the result: the owner, and the readers of a public job's channel."""
    SOURCE = auto()
    """Users who may see the result and the source, or what was made from the source."""
    OWNER_OR_MODERATOR = auto()
    """The owner, and users with Manage Messages in the job's own channel."""
    OWNER = auto()
    """The owner."""
    PUBLISH = auto()
    """The owner, who posts the source, or what was made from it, for the readers of the channel."""
    MESSAGE = auto()
    """Everybody who can see the message with the button."""


class Decision(Enum):
    """Whether an action is allowed, and if not, what the user may know about it."""

    ALLOWED = auto()
    NOT_FOUND = auto()
    """The job is gone, or the user may not see it. The two are not distinguished."""
    NOT_OWNER = auto()
    """The user may see the job, but the action is for others."""
    AGE_RESTRICTED = auto()
    """The job belongs to an age-restricted channel and the reply would not."""
    ELSEWHERE = auto()
    """The source, or the job, belongs to another channel than the reply."""


def decide(rule: AccessRule, job: JobFacts) -> Decision:
    """Decide whether the user may use an action with this rule on the job."""
    match rule:
        case AccessRule.RESULT:
            return _see_result(job)
        case AccessRule.SOURCE:
            return _see_source(job)
        case AccessRule.MESSAGE:
            return Decision.ALLOWED
        case AccessRule.OWNER_OR_MODERATOR:
            allowed = job.owner or _moderates(job)
        case AccessRule.OWNER:
            allowed = job.owner and job.stored
        case AccessRule.PUBLISH:
            allowed = job.owner and job.stored
            if allowed and not job.sources_here:
                return Decision.ELSEWHERE
    if allowed:
        return Decision.ALLOWED
    return Decision.NOT_OWNER if _visible(job) else Decision.NOT_FOUND


def decide_message(channel: ChannelFacts | None, here: ChannelFacts) -> Decision:
    """Decide whether the user may use a picture of a message in `channel` for a reply in `here`.

    `channel` is None if the bot cannot see the channel.
    """
    if channel is None or not channel.readable:
        return Decision.NOT_FOUND
    return _age_check(channel.age_restricted, channel, here)


def decide_share(job: JobFacts, gallery: ChannelFacts) -> Decision:
    """Decide whether the user may post the result in the gallery's channel.

    The user need not be able to read the gallery.
    """
    decision = decide(AccessRule.OWNER, job)
    if decision is not Decision.ALLOWED:
        return decision
    return _age_check(job.age_restricted, job.origin, gallery)


def _visible(job: JobFacts) -> bool:
    if not job.stored:
        return False
    if job.owner:
        return True
    return not job.private and job.origin is not None and job.origin.readable


def _see_result(job: JobFacts) -> Decision:
    if not _visible(job):
        return Decision.NOT_FOUND
    return _age_check(job.age_restricted, job.origin, job.here)


def _see_source(job: JobFacts) -> Decision:
    decision = _see_result(job)
    if decision is not Decision.ALLOWED:
        return decision
    if job.owner:
        return Decision.ALLOWED
    if not job.sources_known:
        return Decision.NOT_FOUND
    decisions = {decide_message(channel, job.here) for channel in job.sources}
    for refusal in (Decision.NOT_FOUND, Decision.AGE_RESTRICTED):
        if refusal in decisions:
            return refusal
    return Decision.ALLOWED


def _moderates(job: JobFacts) -> bool:
    if not job.stored:
        # Only the message is left, and the user acts on it.
        return job.here.moderated
    return not job.private and job.origin is not None and job.origin.moderated


def _age_check(restricted: bool, origin: ChannelFacts | None, here: ChannelFacts) -> Decision:
    """A picture of an age-restricted channel stays in it, or goes to another such channel."""
    if origin is not None and origin.id == here.id:
        return Decision.ALLOWED
    restricted = restricted or (origin is not None and origin.age_restricted)
    if restricted and not here.age_restricted:
        return Decision.AGE_RESTRICTED
    return Decision.ALLOWED
