"""TensorFlow's op types in the words that every framework shares (docs/format.md)."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple, cast

from graphdebug.model.event import Family

__all__ = ["Word", "word"]


class Word(NamedTuple):
    """What an op type does: the shared function word, its family, and the roles of its inputs."""

    function: str
    family: Family
    roles: tuple[str, ...] = ()
    backward_of: str = ""
    """The op type this is the gradient of, where TensorFlow has an op of its own for it: ``Sqrt``."""

    def role(self, index: int) -> str:
        """Return the role of input `index`, or an empty word."""
        return self.roles[index] if index < len(self.roles) else ""


@cache
def word(op_type: str) -> Word:
    """Return what `op_type` does; an unknown one is `other` under its own name in lower case."""
    if op_type in _WORDS:
        return _WORDS[op_type]
    stem = op_type.lstrip("_").removesuffix("V2").removesuffix("V3")
    for name in (stem, f"{stem}V2"):
        if name in _WORDS:
            return _WORDS[name]
    for prefix, marker in (("", "Grad"), ("", "Backprop")):
        base = stem.partition(marker)[0]
        if prefix + marker in stem and base in _WORDS:
            forward = _WORDS[base]
            return Word(f"{forward.function}_backward", forward.family, (), base)
    return Word(_snake(op_type), "other")


def _snake(name: str) -> str:
    spaced = ["_" + char.lower() if char.isupper() else char for char in name]
    return "".join(spaced).lstrip("_") if not name.isupper() else name.lower()


def _read(text: str) -> dict[str, Word]:
    """Read ``OpType=function`` pairs under ``[family: roles]`` lines; no function is the type in lower case."""
    found = {}
    family = "other"
    roles: tuple[str, ...] = ()
    for line in text.split("\n"):
        if line.startswith("["):
            family, _, names = line.strip("[]").partition(":")
            roles = tuple(names.split())
            continue
        for pair in line.split():
            op_type, _, function = pair.partition("=")
            found[op_type] = Word(function or op_type.lower(), cast("Family", family), roles)
    return found


_TABLE = """
[conv: input weight]
Conv2D Conv3D DepthwiseConv2dNative=conv2d Conv=conv2d Dilation2D
[pool: input]
MaxPool=max_pool2d MaxPoolV2=max_pool2d AvgPool=avg_pool2d MaxPool3D=max_pool3d AvgPool3D=avg_pool3d
MaxPoolWithArgmax=max_pool2d FractionalMaxPool FractionalAvgPool
[matmul: a b]
MatMul BatchMatMul=bmm BatchMatMulV2=bmm BatchMatMulV3=bmm SparseMatMul=matmul
SparseTensorDenseMatMul=matmul Cross
[matmul: input]
Einsum
[elementwise: input]
Sqrt Rsqrt Log Log1p Exp Expm1 Relu Relu6 Sigmoid Tanh Abs Neg Square Sin Cos Tan Asin Acos Atan Sinh Cosh
Asinh Acosh Atanh Floor Ceil Round Rint=round Sign Erf Erfc Lgamma Digamma Softplus Softsign Elu Selu
LeakyRelu=leaky_relu Reciprocal=reciprocal Inv=reciprocal IsNan=isnan IsInf=isinf IsFinite=isfinite
LogicalNot=logical_not Conj Real Imag Angle ComplexAbs=abs ClipByValue=clip Erfinv Ndtri Invert=bitwise_not
LogSigmoid=log_sigmoid
[elementwise: a b]
Add AddV2=add AddN=add Sub Mul Div RealDiv=div TruncateDiv=div FloorDiv=floor_divide FloorMod=mod Mod Pow
DivNoNan=div_no_nan MulNoNan=mul_no_nan Xdivy=xdivy Xlogy=xlogy Xlog1py=xlog1py Maximum Minimum
SquaredDifference=squared_difference Atan2=atan2 Greater GreaterEqual=greater_equal Less
LessEqual=less_equal Equal NotEqual=not_equal ApproximateEqual=approximate_equal LogicalAnd=logical_and
LogicalOr=logical_or BitwiseAnd=bitwise_and BitwiseOr=bitwise_or BitwiseXor=bitwise_xor Complex
AccumulateNV2=add Zeta Polygamma
[elementwise: input bias]
BiasAdd=add BiasAddV1=add
[reshape: input]
Reshape Squeeze ExpandDims=unsqueeze BroadcastTo=expand Tile SpaceToBatchND=space_to_batch
BatchToSpaceND=batch_to_space SpaceToDepth=space_to_depth DepthToSpace=depth_to_space
EnsureShape=ensure_shape
[permute: input]
Transpose ConjugateTranspose=transpose
[cat: input]
ConcatV2=cat Concat=cat Pack=stack ParallelConcat=cat DynamicStitch=dynamic_stitch
[split: input]
Split SplitV=split Unpack=unbind DynamicPartition=dynamic_partition
[index: input index]
Gather GatherV2=gather GatherNd=gather_nd ResourceGather=gather ResourceGatherNd=gather_nd
TensorScatterUpdate=tensor_scatter TensorScatterAdd=tensor_scatter_add
[index: index]
OneHot=one_hot
[index: input]
Slice StridedSlice=slice TopK=topk TopKV2=topk Unique UniqueV2=unique ReverseV2=flip
[index: index input]
ScatterNd=scatter_nd
[where: condition a b]
Select=where SelectV2=where Where=nonzero
[reduce: input]
Sum Mean Max Min Prod ArgMax=argmax ArgMin=argmin All Any Cumsum Cumprod L2Loss=l2_loss EuclideanNorm=norm
SegmentSum=segment_sum UnsortedSegmentSum=segment_sum SegmentMean=segment_mean
[softmax: input]
Softmax LogSoftmax=log_softmax
[loss: logits labels]
SoftmaxCrossEntropyWithLogits=cross_entropy SparseSoftmaxCrossEntropyWithLogits=sparse_cross_entropy
CTCLoss=ctc_loss CTCLossV2=ctc_loss InTopK=in_top_k InTopKV2=in_top_k
[norm: input weight bias]
FusedBatchNorm=batch_norm FusedBatchNormV2=batch_norm FusedBatchNormV3=batch_norm
[norm: input]
LRN=local_response_norm
[pad: input]
Pad PadV2=pad MirrorPad=pad
[upsample: input]
ResizeBilinear=upsample ResizeNearestNeighbor=upsample ResizeBicubic=upsample ResizeArea=upsample
[cast: input]
Cast Bitcast QuantizeV2=quantize Dequantize StringToNumber=cast AsString=cast
[random: ]
RandomUniform=uniform RandomStandardNormal=normal TruncatedNormal=truncated_normal
RandomUniformInt=uniform_int RandomShuffle=shuffle Multinomial StatelessRandomUniform=uniform
StatelessRandomUniformV2=uniform StatelessRandomNormal=normal StatelessRandomNormalV2=normal
StatelessTruncatedNormalV2=truncated_normal StatelessRandomGetKeyCounter=random_key
StatelessRandomGetAlg=random_key RandomPoisson=poisson RandomGamma=gamma StatelessMultinomial=multinomial
StatefulUniform=uniform StatefulStandardNormalV2=normal
[fill: ]
Const=constant Fill ZerosLike=zeros_like OnesLike=ones_like Range=arange LinSpace=linspace
VariableV2=variable Variable VarHandleOp=variable VarIsInitializedOp=is_initialized
IsVariableInitialized=is_initialized TemporaryVariable=variable
[fill: input]
Shape ShapeN=shape Size Rank BroadcastGradientArgs=broadcast_gradient_args Diag Eye MatrixDiag=diag
MatrixDiagV3=diag MatrixDiagPartV3=diag_part MatrixBandPart=band_part
[assign: state input]
Assign AssignAdd=assign_add AssignSub=assign_sub AssignVariableOp=assign AssignAddVariableOp=assign_add
AssignSubVariableOp=assign_sub
[assign: state index input]
ScatterUpdate=scatter_update ScatterAdd=scatter_add ScatterSub=scatter_sub ResourceScatterAdd=scatter_add
ResourceScatterUpdate=scatter_update ResourceScatterSub=scatter_sub ScatterNdUpdate=scatter_update
[assign: state learning_rate gradient]
ApplyGradientDescent=sgd ResourceApplyGradientDescent=sgd
[assign: state state learning_rate gradient input]
ApplyMomentum=momentum ResourceApplyMomentum=momentum ResourceApplyKerasMomentum=momentum
[assign: state state state input input learning_rate input input input gradient]
ApplyAdam=adam ResourceApplyAdam=adam
[assign: state state learning_rate gradient]
ApplyAdagrad=adagrad ResourceApplyAdagrad=adagrad ApplyAdagradV2=adagrad
[assign: state state input input gradient]
ResourceApplyAdagradV2=adagrad
[assign: state state state input input input input gradient]
ApplyRMSProp=rmsprop ResourceApplyRMSProp=rmsprop
[assign: state state state input input input gradient]
ApplyAdadelta=adadelta ResourceApplyAdadelta=adadelta
[assign: state state state gradient]
ApplyFtrl=ftrl ResourceApplyFtrl=ftrl ApplyFtrlV2=ftrl ResourceApplyFtrlV2=ftrl
[copy: input]
Identity IdentityN=identity Snapshot=identity StopGradient=stop_gradient DeepCopy=copy
PreventGradient=identity PlaceholderWithDefault=identity ReadVariableOp=read_variable
[placeholder: ]
Placeholder PlaceholderV2=placeholder _Arg=argument
[collective: input]
CollectiveReduce=all_reduce CollectiveReduceV2=all_reduce CollectiveGather=all_gather
CollectiveReduceV3=all_reduce CollectiveGatherV2=all_gather CollectiveBcastSendV2=broadcast
CollectiveBcastRecvV2=broadcast NcclAllReduce=all_reduce
[control: ]
NoOp While StatelessWhile=while If StatelessIf=if Case StatelessCase=case PartitionedCall=call
StatefulPartitionedCall=call SymbolicGradient=call _Retval=return
[control: input]
Enter Exit NextIteration=next_iteration LoopCond=loop_cond Merge ControlTrigger=no_op
[control: input condition]
Switch RefSwitch=switch
[check: input]
CheckNumerics=check_numerics CheckNumericsV2=check_numerics Print PrintV2=print
[check: condition]
Assert
"""

_WORDS: dict[str, Word] = {
    **_read(_TABLE),
    # gradients that have an op type of their own, where the name does not say all
    "BiasAddGrad": Word("add_backward", "elementwise", ("gradient",), "BiasAdd"),
    "Conv2DBackpropInput": Word("conv2d_backward", "conv", ("index", "weight", "gradient"), "Conv2D"),
    "Conv2DBackpropFilter": Word("conv2d_backward", "conv", ("input", "index", "gradient"), "Conv2D"),
    "Conv3DBackpropInputV2": Word("conv3d_backward", "conv", ("index", "weight", "gradient"), "Conv3D"),
    "Conv3DBackpropFilterV2": Word("conv3d_backward", "conv", ("input", "index", "gradient"), "Conv3D"),
    "DepthwiseConv2dNativeBackpropInput":
        Word("conv2d_backward", "conv", ("index", "weight", "gradient"), "DepthwiseConv2dNative"),
    "DepthwiseConv2dNativeBackpropFilter":
        Word("conv2d_backward", "conv", ("input", "index", "gradient"), "DepthwiseConv2dNative"),
    "SqrtGrad": Word("sqrt_backward", "elementwise", ("input", "gradient"), "Sqrt"),
    "RsqrtGrad": Word("rsqrt_backward", "elementwise", ("input", "gradient"), "Rsqrt"),
    "SigmoidGrad": Word("sigmoid_backward", "elementwise", ("input", "gradient"), "Sigmoid"),
    "TanhGrad": Word("tanh_backward", "elementwise", ("input", "gradient"), "Tanh"),
    "ReciprocalGrad": Word("reciprocal_backward", "elementwise", ("input", "gradient"), "Reciprocal"),
    "InvGrad": Word("reciprocal_backward", "elementwise", ("input", "gradient"), "Reciprocal"),
    "ReluGrad": Word("relu_backward", "elementwise", ("gradient", "input"), "Relu"),
    "Relu6Grad": Word("relu6_backward", "elementwise", ("gradient", "input"), "Relu6"),
    "EluGrad": Word("elu_backward", "elementwise", ("gradient", "input"), "Elu"),
    "SoftplusGrad": Word("softplus_backward", "elementwise", ("gradient", "input"), "Softplus"),
    "MaxPoolGrad": Word("max_pool2d_backward", "pool", ("input", "input", "gradient"), "MaxPool"),
    "AvgPoolGrad": Word("avg_pool2d_backward", "pool", ("index", "gradient"), "AvgPool"),
    "FusedBatchNormGradV3":
        Word("batch_norm_backward", "norm", ("gradient", "input", "weight"), "FusedBatchNormV3"),
}  # fmt: skip
