"""Only one thread at a time changes or looks at models."""

import threading

from timm_mergemix.merge.lock import CHANGING, undisturbed


def test_a_function_waits_for_whoever_holds_the_lock():
    ran = []
    function = undisturbed(lambda value: ran.append(value) or value)
    thread = threading.Thread(target=function, args=(1,))
    with CHANGING:
        thread.start()
        thread.join(0.05)
        assert not ran
        assert function(2) == 2  # the holder does not wait for itself
    thread.join()
    assert ran == [2, 1]
