"""Every fault of the first design and the tests that it would fail; read by test_every_fault.py.

A: authentication, E: publishing, C: consuming, L: chat and models, P: payments.
"""

from __future__ import annotations

from collections.abc import Mapping

AUTH = "tests/faults/auth/test_first_design.py"
EVENTS = "tests/faults/events/test_first_design.py"
BROKER = "tests/faults/events/test_faults.py"
BEHAVIOUR = "tests/integration/events/test_behaviour.py"
TRANSPORT = "tests/integration/events/test_transport.py"
STATIC = "tests/faults/first_design/test_static.py"
CHAT = "tests/faults/first_design/test_chat.py"
QUOTAS = "tests/integration/quota/test_quotas.py"
MODELS = "tests/integration/chat"
API = "tests/contracts/api"
INBOX = "tests/integration/webhooks/test_inbox.py"
SIGNS = "tests/unit/webhooks/test_signatures.py"
RULES = "tests/unit/payments_service"
STRIPE = "tests/integration/payments_service"

#: Fault -> tests, as `file::function`, or `folder::function` where files are still being divided.
FAULTS: Mapping[str, tuple[str, ...]] = {
    "A1": (f"{AUTH}::a1_public_keys_are_no_users",),
    "A2": (f"{AUTH}::a2_claims_are_required",),
    "A3": (f"{AUTH}::test_a3_a4_without_a_secret_an_app_does_not_start",),
    "A4": (f"{AUTH}::test_a3_a4_without_a_secret_an_app_does_not_start",),
    "A5": (f"{AUTH}::a5_odd_metadata_is_no_crash",),
    "A6": (f"{AUTH}::test_a6_tokens_of_rotated_signing_keys_are_accepted",),
    "A7": (f"{AUTH}::test_a7_requires_tier_used_as_a_decorator_says_what_to_write",),
    "A8": (f"{AUTH}::a8_the_tier_is_not_in_the_token",),
    "A9": (f"{AUTH}::a9_the_scheme_is_split_off_once",),
    "A10": (f"{AUTH}::a10_a_401_names_its_scheme_and_nothing_else",),
    "A11": (
        f"{AUTH}::a11_all_processes_count_together_and_forget",
        f"{AUTH}::test_a11_a_counter_of_a_user_who_is_gone_runs_out",
    ),
    "A12": (f"{AUTH}::a12_a_missing_tier_is_told_apart_by_machines",),
    "A13": (
        f"{AUTH}::test_a13_there_is_one_verifier_and_nobody_has_a_copy",
        f"{STATIC}::test_a13_c1_every_name_is_known_and_every_import_used",
    ),
    "E1": (f"{EVENTS}::test_e1_what_is_committed_while_the_broker_is_away_arrives_later",),
    "E2": (
        f"{EVENTS}::test_e2_a_transaction_that_is_rolled_back_publishes_nothing",
        f"{BROKER}::test_a_relay_killed_between_confirm_and_commit_publishes_twice_and_applies_once",
    ),
    "E3": (
        f"{EVENTS}::test_e3_an_event_that_nobody_hears_is_kept_and_seen",
        f"{BEHAVIOUR}::test_a_returned_event_stays_in_the_outbox_until_somebody_is_bound",
    ),
    "E4": (
        f"{EVENTS}::test_e4_a_publisher_that_idled_for_several_heartbeats_loses_nothing",
        f"{BROKER}::test_idling_for_longer_than_two_heartbeats_costs_no_event",
    ),
    "E5": (
        f"{EVENTS}::test_e5_a_channel_that_the_broker_has_closed_is_not_the_end",
        f"{TRANSPORT}::test_a_channel_that_the_broker_closed_is_opened_again",
    ),
    "E6": (f"{TRANSPORT}::test_many_tasks_share_one_connection",),
    "E7": (
        f"{BROKER}::test_e7_an_alarm_of_the_broker_does_not_stop_the_event_loop",
        f"{BROKER}::test_a_memory_alarm_stops_publishers_and_nothing_else",
    ),
    "E8": (
        f"{EVENTS}::test_e8_only_the_first_design_needs_the_broker_to_start",
        f"{TRANSPORT}::test_nothing_connects_before_it_is_needed_and_an_absent_broker_is_waited_for",
    ),
    "E9": (
        f"{EVENTS}::test_e9_times_have_a_zone",
        f"{STATIC}::test_e9_l21_no_naive_clock_and_no_ignored_start_up_handler",
    ),
    "E10": (f"{EVENTS}::test_e10_nothing_deprecated_writes_the_body",),
    "E11": (f"{EVENTS}::test_e11_users_come_as_the_database_gives_them",),
    "E12": (
        f"{EVENTS}::test_e12_a_type_that_is_not_known_here_can_be_read",
        f"{BEHAVIOUR}::test_an_unknown_type_is_acknowledged_and_counted",
    ),
    "E13": (f"{EVENTS}::test_e13_the_envelope_says_version_source_key_and_trace",),
    "C1": (f"{STATIC}::test_a13_c1_every_name_is_known_and_every_import_used",),
    "C2": (
        f"{EVENTS}::test_c2_a_message_that_fails_does_not_spin_and_holds_up_nobody",
        f"{BEHAVIOUR}::test_a_poison_message_does_not_hold_up_the_others",
    ),
    "C3": (
        f"{EVENTS}::test_c3_an_effect_and_the_note_of_it_are_one",
        f"{BROKER}::test_workers_killed_at_random_points_lose_and_double_nothing",
    ),
    "C4": (
        f"{EVENTS}::test_c4_two_services_that_share_a_cache_both_handle_an_event",
        f"{BEHAVIOUR}::test_two_consumers_with_one_database_both_handle_an_event",
    ),
    "C5": (
        f"{EVENTS}::test_c5_a_handler_slower_than_two_heartbeats_keeps_its_connection",
        f"{TRANSPORT}::test_a_handler_slower_than_two_heartbeats_keeps_its_connection",
    ),
    "C6": (
        f"{EVENTS}::test_c6_a_consumer_whose_connection_was_cut_works_on",
        f"{BEHAVIOUR}::test_cut_connections_lose_and_double_nothing",
    ),
    "C7": (
        f"{EVENTS}::test_c7_starting_a_consumer_twice_makes_one",
        f"{STATIC}::test_c7_c12_l15_importing_a_service_connects_nowhere",
    ),
    "C8": (f"{EVENTS}::test_c8_a_consumer_may_come_before_every_publisher",),
    "C9": (f"{EVENTS}::test_c9_c10_what_an_event_makes_old_is_what_is_read_next",),
    "C10": (f"{EVENTS}::test_c9_c10_what_an_event_makes_old_is_what_is_read_next",),
    "C11": (
        f"{STATIC}::test_c11_every_owner_of_personal_rows_hears_of_deleted_users",
        "tests/integration/chat::test_what_a_deleted_user_has_said_is_erased_and_nothing_else",
    ),
    "C12": (f"{STATIC}::test_c7_c12_l15_importing_a_service_connects_nowhere",),
    "C13": (f"{EVENTS}::test_c13_a_consumer_has_many_messages_in_hand",),
    "C14": (f"{EVENTS}::test_c14_lines_of_a_handler_name_event_request_and_trace_and_no_person",),
    "L1": (
        f"{CHAT}::test_l1_slow_models_hold_up_nobody_else",
        f"{STATIC}::test_l1_p22_no_client_of_a_vendor_blocks_the_loop",
    ),
    "L2": (f"{CHAT}::test_l2_free_and_unlimited_users_can_talk",),
    "L3": (
        f"{QUOTAS}::test_unlimited_is_null_in_the_data_and_minus_one_only_when_shown",
        f"{QUOTAS}::test_an_amount_below_one_is_refused_before_the_database",
        f"{QUOTAS}::test_an_unknown_quota_type_or_user_is_an_error_and_never_free",
        f"{QUOTAS}::test_token_counts_beyond_32_bits_are_kept",
    ),
    "L4": (f"{QUOTAS}::test_the_functions_are_not_executable_by_everybody",),
    "L5": (
        f"{QUOTAS}::test_fifty_parallel_reservations_never_overspend",
        f"{API}::test_parallel_messages_never_spend_more_than_the_quota",
    ),
    "L6": (
        f"{API}::test_a_failed_reply_stores_nothing_and_costs_nothing",
        "tests/integration/payments_service"
        "::test_a_charge_that_was_left_open_is_settled_by_the_event_of_its_result",
    ),
    "L7": (
        "tests/contracts/api::test_a_repeated_request_answers_the_same_without_a_second_effect",
    ),
    "L8": (f"{CHAT}::test_l8_l9_parallel_messages_are_in_order_counted_and_the_newest_first",),
    "L9": (f"{CHAT}::test_l8_l9_parallel_messages_are_in_order_counted_and_the_newest_first",),
    "L10": (f"{CHAT}::test_l10_what_a_model_thinks_first_is_no_answer",),
    "L11": (
        f"{CHAT}::test_l11_l13_l14_the_model_asked_for_is_asked_once",
        f"{STATIC}::test_l11_no_model_that_the_vendor_retires_is_a_default",
    ),
    "L12": (f"{QUOTAS}::test_the_second_message_of_a_conversation_costs_nothing_that_day",),
    "L13": (f"{CHAT}::test_l11_l13_l14_the_model_asked_for_is_asked_once",),
    "L14": (
        f"{CHAT}::test_l11_l13_l14_the_model_asked_for_is_asked_once",
        f"{MODELS}::test_nobody_answers_in_time_and_nothing_is_stored_or_charged",
    ),
    "L15": (
        f"{STATIC}::test_c7_c12_l15_importing_a_service_connects_nowhere",
        f"{MODELS}::test_without_any_key_every_provider_fails_and_nothing_is_charged",
    ),
    "L16": (f"{CHAT}::test_l16_failures_are_told_apart",),
    "L17": (f"{CHAT}::test_l17_p27_health_asks_no_vendor",),
    "L18": ("tests/contracts/api::test_without_its_database_the_app_is_unhealthy_and_unavailable",),
    "L19": (f"{CHAT}::test_l19_a_conversation_may_be_null_must_be_an_id_and_must_be_known",),
    "L20": (
        "tests/integration/cache/test_cache.py"
        "::test_parts_never_run_into_each_other_and_versions_are_apart",
    ),
    "L21": (f"{STATIC}::test_e9_l21_no_naive_clock_and_no_ignored_start_up_handler",),
    "L22": ("tests/contracts/api::test_type_size_json_and_fields_are_refused_in_this_order",),
    "L23": (
        "tests/integration/web/test_outside_tokens.py::test_an_outside_identity_is_our_user",
        f"{API}::test_clerk_ids_map_to_ours_whatever_the_order",
    ),
    "P1": (
        f"{API}::test_a_bad_signature_or_mode_is_refused_and_nothing_is_stored",
        f"{STATIC}::test_p1_p2_no_status_beside_a_body_and_no_old_names_of_stripe",
    ),
    "P2": (f"{STATIC}::test_p1_p2_no_status_beside_a_body_and_no_old_names_of_stripe",),
    "P3": (f"{RULES}::test_a_subscription_is_read_in_its_older_and_newer_shape",),
    "P4": (f"{STRIPE}::test_a_purchase_and_every_change_of_it_go_through_the_client_of_stripe",),
    "P5": (f"{RULES}::test_a_subscription_is_read_in_its_older_and_newer_shape",),
    "P6": (f"{API}::test_the_life_of_a_subscription_is_told_by_comparing_states",),
    "P7": (f"{RULES}::test_a_subscription_is_read_in_its_older_and_newer_shape",),
    "P8": (f"{INBOX}::test_a_delivery_is_stored_answered_and_applied_once_however_often_it_comes",),
    "P9": (f"{API}::test_a_delivery_is_stored_once_and_answered_twice",),
    "P10": (
        f"{API}::test_late_state_changes_nothing",
        f"{RULES}::test_older_state_is_stale_and_the_same_second_does_not_revive",
    ),
    "P11": (
        f"{INBOX}::test_a_failing_effect_leaves_nothing_and_is_tried_again_with_growing_pauses",
    ),
    "P12": (
        f"{INBOX}::test_a_failing_effect_leaves_nothing_and_is_tried_again_with_growing_pauses",
    ),
    "P13": (f"{CHAT}::test_p13_a_subscription_that_was_never_paid_gives_nothing",),
    "P14": (f"{API}::test_the_life_of_a_subscription_is_told_by_comparing_states",),
    "P15": (f"{QUOTAS}::test_a_new_period_starts_by_itself",),
    "P16": (
        f"{QUOTAS}::test_upgrading_raises_the_limit_at_once_and_keeps_what_was_used",
        f"{QUOTAS}::test_a_bonus_is_granted_once_per_source_and_spent_after_the_allowance",
    ),
    "P17": (f"{API}::test_a_subscription_of_an_unknown_customer_waits_for_its_checkout",),
    "P18": (f"{API}::test_an_unknown_price_fails_and_touches_no_tier",),
    "P19": (f"{API}::test_prices_and_return_addresses_must_be_listed",),
    "P20": (f"{STRIPE}::test_a_purchase_and_every_change_of_it_go_through_the_client_of_stripe",),
    "P21": (f"{API}::test_checkout_leads_to_the_provider_with_one_customer_ever",),
    "P22": (f"{STATIC}::test_l1_p22_no_client_of_a_vendor_blocks_the_loop",),
    "P23": (
        f"{RULES}::test_money_is_kept_in_the_minor_units_of_its_currency",
        f"{RULES}::test_an_invoice_names_its_subscription_and_user_in_either_place",
    ),
    "P24": (f"{SIGNS}::test_any_of_several_secrets_is_good_and_the_index_says_which",),
    "P25": (f"{SIGNS}::test_timestamps_may_be_off_by_300_seconds_in_both_directions",),
    "P26": (
        f"{SIGNS}::test_test_events_are_refused_by_a_live_configuration_and_the_other_way_round",
    ),
    "P27": (f"{CHAT}::test_l17_p27_health_asks_no_vendor",),
}
