"""Recurrent layers."""

from benchmarks.frameworks.case import layer, real

_X = real(2, 5, 3)
_EVALUATION = "there is no gradient in evaluation"

CASES = (
    layer("RNN(3, 4, batch_first=True)", "SimpleRNN(3, 4)", _X, note=_EVALUATION),
    layer(
        "RNN(3, 4, nonlinearity='relu', batch_first=True)", "SimpleRNN(3, 4, activation='relu')", _X, note=_EVALUATION
    ),
    layer("LSTM(3, 4, batch_first=True)", "LSTM(3, 4)", _X, note=_EVALUATION),
    layer("LSTM(3, 4, 2, batch_first=True)", "LSTM(3, 4, 2)", _X, note=_EVALUATION),
    layer("LSTM(3, 4, batch_first=True, bidirectional=True)", "LSTM(3, 4, direction='bidirect')", _X, note=_EVALUATION),
    layer("LSTM(3, 4)", "LSTM(3, 4, time_major=True)", _X, note=_EVALUATION),
    layer("GRU(3, 4, batch_first=True)", "GRU(3, 4)", _X, note=_EVALUATION),
    layer(
        "GRU(3, 4, 2, batch_first=True, bidirectional=True)", "GRU(3, 4, 2, direction='bidirect')", _X, note=_EVALUATION
    ),
    layer("RNNCell(3, 4)", "SimpleRNNCell(3, 4)", real(2, 3), real(2, 4), outputs=1),
    layer("GRUCell(3, 4)", "", real(2, 3), real(2, 4), outputs=1),
)
