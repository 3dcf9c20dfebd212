"""Shapes: operands that do not go together, reshapes that fold, and the declarations behind them."""
