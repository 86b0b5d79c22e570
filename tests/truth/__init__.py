"""Do our simulators answer as running servers did? ``make truth``, and ``test_truth.py`` in ``make test``.

``tests/recordings`` holds what was recorded; ``recorded`` reads it, ``replay`` sends it to a simulator and compares,
``speakers`` says which simulator speaks for which server.
"""
