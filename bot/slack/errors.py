"""Slack's errors, sorted: what to do when a call that shows a card, or takes it down, fails.

Codes: on docs.slack.dev the pages of chat.postMessage, chat.update, chat.delete,
files.getUploadURLExternal, files.completeUploadExternal, files.info, files.delete,
conversations.open, conversations.history and conversations.replies, and what all methods answer.
"""

from __future__ import annotations

from collections.abc import Mapping

from slack_sdk.errors import SlackApiError

from bot.showing import Doubtful, Gone, Operators, Refusal, RetryLater, Told
from bot.slack.workspaces import SOON, WRONG_KEY, error_code, http_status

MESSAGE_GONE = "message_not_found"
FILE_GONE = ("file_not_found", "file_deleted")
UNEDITABLE = ("cant_update_message", "edit_window_closed")
"""For good: another message is posted."""
UNDELETABLE = ("cant_delete_message", "channel_not_found", "compliance_exports_prevent_deletion")
"""For good: what is left of such a message says nothing and shows nothing."""
UNINSTALLED = ("account_inactive", "token_revoked")
"""Where workspaces install the app, this one has taken it off; where the one token is in the
settings, the operator's trouble."""
OUTSIDE = ("channel_not_found", "not_in_channel")
"""Inviting the bot would help."""

_OPERATORS = (
    *UNINSTALLED,
    "access_denied",
    "accesslimited",
    "deprecated_endpoint",
    "enterprise_is_restricted",
    "invalid_auth",
    "messages_tab_disabled",
    "metadata_must_be_sent_from_app",
    "method_deprecated",
    "missing_scope",
    "not_allowed_token_type",
    "not_authed",
    "org_login_required",
    "team_access_not_granted",
    "token_expired",
    "two_factor_setup_required",
)
_TOLD = (
    *OUTSIDE,
    "cannot_reply_to_message",
    "channel_is_limited_access",
    "ekm_access_denied",
    "invalid_channel",
    "invalid_user_combination",
    "is_archived",
    "is_inactive",
    "method_not_supported_for_channel_type",
    "no_permission",
    "restricted_action",
    "restricted_action_non_threadable_channel",
    "restricted_action_read_only_channel",
    "restricted_action_thread_locked",
    "restricted_action_thread_only_channel",
    "slack_connect_file_link_sharing_blocked",
    "team_not_found",
    "user_not_visible",
)
_GONE = (MESSAGE_GONE, "cannot_dm_bot", "thread_not_found", "user_disabled", "user_not_found")

SORTS: Mapping[str, type[Refusal]] = {
    **dict.fromkeys(SOON, RetryLater),
    **dict.fromkeys(_OPERATORS, Operators),
    **dict.fromkeys(_TOLD, Told),
    **dict.fromkeys(_GONE, Gone),
}
"""All others are Doubtful."""
OPERATORS = frozenset({*_OPERATORS, WRONG_KEY})
"""Codes of what the operator alone can mend."""


def refusal(error: SlackApiError, *, installed: bool, removing: bool) -> Refusal:
    """`installed` by the workspace itself, with a token of its own. While `removing`, no answer
    means that it is gone, but for those that the take-down has seen to."""
    code, status = error_code(error), http_status(error)
    sort = SORTS.get(code, Doubtful)
    if sort is RetryLater or status >= 500:
        return RetryLater(code=code or str(status))
    if removing:
        return Operators(code or str(status))
    if installed and code in UNINSTALLED:
        return Gone(code)
    return sort(code or str(status))
